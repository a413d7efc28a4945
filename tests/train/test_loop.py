"""fit: the same numbers on any mesh, exact resume, exact evaluation, and how it stops."""

import dataclasses
import json
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.runtime.watchdog import Watchdog
from jresnet.train import loop
from jresnet.train.log import NonFiniteLossError
from jresnet.train.loop import Plan
from tests.train.toy import DATA, classify, train


def assert_bit_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


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
    """Thrown by a test where a process would die."""


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
    places = [(r["step"], r["split"]) for r in records(folder)]
    assert places == [
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
