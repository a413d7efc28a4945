"""A run killed at any moment and started again ends with the same bits; SIGTERM saves."""

import signal
import time

import pytest

from tests.violence import assert_same_end, finish, start, torment

STUDY = ("experiments.degradation", "--depths", "8", "--steps", "40")


@pytest.mark.slow
def test_sigkill_at_random_moments_leaves_no_trace_in_the_result(tmp_path):
    seed = time.time_ns() % 10**6  # truly random moments; every line printed has the seed
    where, runs, _ = torment(tmp_path, kills=3, per_run=3, seed=seed)
    assert where.total() == 3
    assert runs >= 1


@pytest.mark.slow
def test_sigterm_saves_exits_and_the_same_command_goes_on(tmp_path):
    process = start(tmp_path / "run", STUDY)
    while not list(tmp_path.rglob("metrics.jsonl")):
        time.sleep(0.02)
        assert process.poll() is None
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "the same command goes on from there" in out or "report.html" in out
    assert "report.html" in finish(tmp_path / "run", STUDY)
    finish(tmp_path / "undisturbed", STUDY)
    assert_same_end(tmp_path / "undisturbed", tmp_path / "run")
