"""Runs that a signal stops or whose log is lost, and how they go on."""

import json
import os
import shutil
import signal
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from jresnet.runtime.stop import stoppable
from jresnet.train import loop
from jresnet.train.loop import Interrupted
from jresnet.weights.run import CheckpointError
from tests.train.test_loop import assert_bit_equal, records
from tests.train.toy import DATA, train


def terminate(how=signal.SIGTERM):
    os.kill(os.getpid(), how)


def terminate_at(monkeypatch, name, number, how=signal.SIGTERM):
    """A signal when a batch is read: the `number`-th by `train` of a call, or by all `examples`."""
    method, count = getattr(type(DATA), name), iter(range(1000))

    def terminating(self, *arguments) -> Iterator:
        for place, batch in enumerate(method(self, *arguments)):
            if number == (place if name == "train" else next(count)):
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
