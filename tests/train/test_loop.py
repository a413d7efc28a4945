"""fit: the same numbers on any mesh, exact resume, exact evaluation, and how it stops."""

import dataclasses
import json
import os
import shutil
import signal
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.runtime.stop import stoppable
from jresnet.runtime.watchdog import Watchdog
from jresnet.train import loop
from jresnet.train.log import NonFiniteLossError
from jresnet.train.loop import Interrupted, Plan
from jresnet.weights.run import CheckpointError
from tests.train.toy import DATA, classify, train


def assert_bit_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(folder, ema_decay=0.9)


@pytest.mark.parametrize("group", [None, 2])
def test_one_device_equals_eight(tmp_path, group, undisturbed):
    task = classify(norm=part(BatchNorm, group=group))
    train(tmp_path / "1", task=task, log_every=1)
    eight = train(tmp_path / "8", task=task, log_every=1, devices=8)
    assert eight.state.params["head"]["kernel"].sharding.num_devices == 8
    for a, b in zip(records(tmp_path / "1"), records(tmp_path / "8"), strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        assert a["loss"] == pytest.approx(b["loss"], rel=2e-4)
        assert a["error"] == b["error"]
    # Groups of 2 within a batch of 16 have other statistics than the batch has.
    first_four = np.mean([r["loss"] for r in records(tmp_path / "1") if r["split"] == "train"][:4])
    whole = next(r for r in records(undisturbed[0]) if r["split"] == "train")["loss"]
    assert (group is None) == (first_four == pytest.approx(whole, rel=1e-4))


class Killed(BaseException):
    """What a test throws where a process would die."""


@pytest.mark.parametrize("moment", ["step 3", "step 4", "evaluation", "save"])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, undisturbed, monkeypatch, moment):
    die_at(monkeypatch, moment)
    with pytest.raises(Killed):
        train(tmp_path, ema_decay=0.9)
    monkeypatch.undo()
    resumed = train(tmp_path, ema_decay=0.9)
    folder, expected = undisturbed
    assert_bit_equal(resumed.state, expected.state)
    assert resumed.metrics == expected.metrics
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


def die_at(monkeypatch, moment):
    if moment.startswith("step"):
        batches = type(DATA).train

        def dying(self, start=0, host=(0, 1)) -> Iterator:
            for number, batch in enumerate(batches(self, start, host)):
                if number == int(moment[-1]):
                    raise Killed
                yield batch

        monkeypatch.setattr(type(DATA), "train", dying)
    elif moment == "evaluation":
        examples, calls = type(DATA).examples, []

        def dying_evaluation(self, split, host=(0, 1)) -> Iterator:
            calls.append(split)
            if len(calls) == 2:
                raise Killed
            yield from examples(self, split, host)

        monkeypatch.setattr(type(DATA), "examples", dying_evaluation)
    else:
        save = loop.Checkpoints.save

        def dying_save(self, state, extra):
            if int(state.step) == 4:
                raise Killed
            save(self, state, extra)

        monkeypatch.setattr(loop.Checkpoints, "save", dying_save)


def test_a_finished_run_trains_no_further(undisturbed):
    folder, expected = undisturbed
    before = (folder / "metrics.jsonl").read_bytes()
    again = train(folder, ema_decay=0.9)
    assert_bit_equal(again.state, expected.state)
    assert again.metrics == expected.metrics
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_metrics_are_means_over_windows_and_evaluations(undisturbed):
    folder, expected = undisturbed
    found = [(r["step"], r["split"]) for r in records(folder)]
    assert found == [
        (2, "test"), (4, "train"), (4, "test"), (6, "train"), (6, "train"), (6, "test"),
    ]  # fmt: skip
    assert records(folder)[-1] == {"step": 6, "split": "test", **expected.metrics["test"]}


def test_the_evaluation_counts_every_example_once(undisturbed):
    expected = undisturbed[1]
    # 37 examples in batches of 16: an error is a multiple of 1/37.
    errors = expected.metrics["test"]["error"] * 37
    assert errors == pytest.approx(round(errors), abs=1e-4)
    task, state = classify(), expected.state
    images = np.concatenate([b["image"] for b in DATA.examples("test")])[:37]
    labels = np.concatenate([b["label"] for b in DATA.examples("test")])[:37]
    evaluate = jax.jit(task.evaluate)
    alone = [
        float(evaluate(state.evaluated, {"image": x[None], "label": y[None]})["loss"][0])
        for x, y in zip(images, labels, strict=True)
    ]
    assert expected.metrics["test"]["loss"] == pytest.approx(np.mean(alone), rel=1e-4)


def terminate(how=signal.SIGTERM):
    os.kill(os.getpid(), how)


def terminate_at(monkeypatch, name, number, how=signal.SIGTERM):
    """A signal when a batch is read: the `number`-th by `train` of a call, or by all `examples`."""
    method, count = getattr(type(DATA), name), iter(range(1000))

    def terminating(self, *arguments) -> Iterator:
        for own, batch in enumerate(method(self, *arguments)):
            if number == (own if name == "train" else next(count)):
                terminate(how)
            yield batch

    monkeypatch.setattr(type(DATA), name, terminating)


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("train", 2, "step 3 is saved"),
        ("examples", 5, "step 4 is saved"),  # before the second evaluation's last batch
        ("examples", 7, "step 6 is saved"),  # in the last, of the training split
    ],
)
def test_sigterm_saves_and_the_same_call_goes_on(
    tmp_path, undisturbed, monkeypatch, name, number, words
):
    terminate_at(monkeypatch, name, number)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match=words):
        train(tmp_path, ema_decay=0.9)
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.undo()
    folder, expected = undisturbed
    resumed = train(tmp_path, ema_decay=0.9)
    assert_bit_equal(resumed.state, expected.state)
    assert resumed.metrics == expected.metrics
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


def test_sigterm_again_and_again_in_the_evaluation_that_was_put_off(
    tmp_path, undisturbed, monkeypatch
):
    for number in (1, 0):  # each sitting stops in the evaluation of step 2
        terminate_at(monkeypatch, "examples", number)
        with pytest.raises(Interrupted, match="step 2 is saved"):
            train(tmp_path, ema_decay=0.9)
        monkeypatch.undo()
    assert_bit_equal(train(tmp_path, ema_decay=0.9).state, undisturbed[1].state)
    expected = (undisturbed[0] / "metrics.jsonl").read_bytes()
    assert (tmp_path / "metrics.jsonl").read_bytes() == expected


def test_sigterm_while_it_compiles_stops_before_the_first_step(tmp_path, monkeypatch):
    compiled = loop.compiled

    def terminating(*arguments):
        terminate()
        return compiled(*arguments)

    monkeypatch.setattr(loop, "compiled", terminating)
    with pytest.raises(Interrupted, match="nothing to save yet"):
        train(tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_sigterm_between_trainings_is_kept_for_the_next(tmp_path):
    with stoppable() as stop:
        terminate()
        with pytest.raises(Interrupted, match="nothing to save yet"):
            train(tmp_path)
        assert stop.requested()


def test_saved_on_eight_devices_resumed_on_one_and_on_two(tmp_path, undisturbed, monkeypatch):
    terminate_at(monkeypatch, "train", 3)
    with pytest.raises(Interrupted, match="step 4 is saved"):
        train(tmp_path / "1", ema_decay=0.9, devices=8)
    monkeypatch.undo()
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    for devices in (1, 2):
        resumed = train(tmp_path / str(devices), ema_decay=0.9, devices=devices)
        assert resumed.state.params["head"]["kernel"].sharding.num_devices == devices
        assert_close(resumed.state, undisturbed[1].state)
        for a, b in zip(records(tmp_path / str(devices)), records(undisturbed[0]), strict=True):
            assert (a["step"], a["split"], a["error"]) == (b["step"], b["split"], b["error"])
            assert a["loss"] == pytest.approx(b["loss"], rel=2e-4)


def assert_close(one, other):
    """To what another order of addition makes of it."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), one, other)


def stopped(folder, monkeypatch):
    """A run that was stopped at step 4, with checkpoints of steps 2 and 4."""
    terminate_at(monkeypatch, "train", 3)
    with pytest.raises(Interrupted):
        train(folder, ema_decay=0.9)
    monkeypatch.undo()
    return folder / "metrics.jsonl"


@pytest.mark.parametrize("damage", ["deleted", "emptied", "binary", "a digit changed"])
def test_a_run_whose_log_was_lost_is_not_continued(tmp_path, monkeypatch, damage):
    path = stopped(tmp_path, monkeypatch)
    log = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        changed = log.replace(b"1", b"7", 1)
        path.write_bytes({"emptied": b"", "binary": b"\xff" * len(log)}.get(damage, changed))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl .* written up to step 4: put it"):
        train(tmp_path, ema_decay=0.9)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_whose_log_was_cut_goes_back_to_a_checkpoint_that_it_covers(
    tmp_path, monkeypatch, undisturbed
):
    path = stopped(tmp_path, monkeypatch)
    lines = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["step"] for line in lines] == [2, 4]
    path.write_bytes(lines[0] + lines[1][:9])
    resumed = train(tmp_path, ema_decay=0.9)
    assert_bit_equal(resumed.state, undisturbed[1].state)
    assert path.read_bytes() == (undisturbed[0] / "metrics.jsonl").read_bytes()
    assert (tmp_path / "checkpoints" / "4.aside-1").is_dir()
    assert "cannot be gone on from" in (tmp_path / "timing.jsonl").read_text()


def test_a_line_that_a_kill_cut_does_not_take_the_next_with_it(tmp_path, monkeypatch):
    path = stopped(tmp_path, monkeypatch)
    timing = path.with_name("timing.jsonl")
    with timing.open("a") as file:
        file.write('{"step": 4, "imag')
    train(tmp_path, ema_decay=0.9)
    assert all(json.loads(line) for line in timing.read_text().splitlines())


def test_ctrl_c_saves_like_sigterm(tmp_path, monkeypatch, undisturbed, capfd):
    terminate_at(monkeypatch, "train", 2, signal.SIGINT)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped by Ctrl-C; step 3 is saved"):
        train(tmp_path, ema_decay=0.9)
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    assert capfd.readouterr().err.count("press it again to end at once") == 1
    assert_bit_equal(train(tmp_path, ema_decay=0.9).state, undisturbed[1].state)


def test_the_loop_tells_the_watchdog_of_every_step_evaluation_and_save(tmp_path, monkeypatch):
    told = []
    progress = Watchdog.progress

    def noting(self, doing, times=1):
        told.append(doing)
        progress(self, doing, times)

    monkeypatch.setattr(Watchdog, "progress", noting)
    train(tmp_path, patience=100)
    for doing in ("compiling the train step", "step 5", "saving step 4", "saving step 6"):
        assert told.count(doing) == 1
    assert told.count("evaluating test at step 4") == 3  # batches of 16 of 37


def test_a_non_finite_loss_stops_the_run_and_names_the_step(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"the loss is (nan|inf) at step [1-6] of 6"):
        train(tmp_path, rate=1e30)


def test_batches_that_cannot_be_laid_out_are_refused(tmp_path):
    odd = dataclasses.replace(DATA, batch_size=12)
    with pytest.raises(UsageError, match="batch_size=12: expected a multiple of the 8 devices"):
        train(tmp_path, data=odd, devices=8)
    task = classify(norm=part(BatchNorm, group=5))
    with pytest.raises(UsageError, match="batch of 16 is not a multiple of BatchNorm group 5"):
        train(tmp_path, task=task)
    with pytest.raises(UsageError, match="devices=9: expected 1 to 8"):
        train(tmp_path, devices=9)
    with pytest.raises(UsageError, match="eval_every=0: expected 1 or more"):
        Plan(6, eval_every=0)


def test_the_average_is_evaluated_and_covers_the_batch_statistics(undisturbed, tmp_path):
    state = undisturbed[1].state
    assert set(state.average) == {"params", "batch_stats"}
    plain = train(tmp_path)
    # Not to the bit: another program, whose products and sums may be fused otherwise.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        plain.state.params,
        state.params,
    )
    assert plain.metrics["test"]["loss"] != undisturbed[1].metrics["test"]["loss"]


def test_it_learns(tmp_path):
    easy = dataclasses.replace(DATA, dataset=Synthetic((8, 8, 3), 2, 64, 32))
    fitted = train(tmp_path, data=easy, steps=40, eval_every=None, save_every=None)
    assert fitted.metrics["test"]["error"] == 0
