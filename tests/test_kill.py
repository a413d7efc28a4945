"""A run killed at any moment and started again ends with the same bits; SIGTERM saves."""

import json
import re
import shutil
import signal
import time

import pytest

from tests.breaking import break_checkpoints
from tests.ends import assert_same_end, final_state
from tests.injected import FULL, KILL, TORN, compiler, started, strike
from tests.violence import COMMAND, finish, start, torment

STUDY = ("tests.killable", "--steps", "600", "--every", "200", "--only", "whole")


@pytest.mark.slow
def test_sigkill_at_a_random_moment_leaves_no_trace_in_the_result(tmp_path):
    seed = time.time_ns() % 10**6  # truly random moments; every line printed has the seed
    # One kill of one training, shortened; `python -m tests.violence` takes both, and many.
    command = (*COMMAND, "--only", "whole", "--steps", "80")
    where, _, _ = torment(tmp_path, kills=1, per_run=1, seed=seed, command=command)
    assert where.total() == 1


@pytest.mark.slow
def test_sigterm_saves_exits_and_the_same_command_goes_on(tmp_path):
    process = start(tmp_path, (*STUDY, "--interrupted-status", "75"))
    log = tmp_path / "whole" / "metrics.jsonl"
    while not (log.exists() and "train" in log.read_text()):
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 75, error
    assert "the same command goes on from there" in out
    step = int(re.search(r"step (\d+) is saved", out)[1])
    assert (tmp_path / "whole" / "checkpoints" / str(step)).is_dir()
    assert "whole" in finish(tmp_path, STUDY)
    assert json.loads((tmp_path / "whole" / "result.json").read_text())["metrics"]["test"]


@pytest.mark.slow
@pytest.mark.parametrize(("game", "library"), [("breakout", "gymnax"), ("atari:pong", "ale_py")])
def test_sigkill_leaves_no_trace_in_an_agent_nor_in_its_world(game, library, tmp_path):
    """A world on the device, and one in an emulator."""
    pytest.importorskip(library)
    command = ("tests.killable", "--game", game)
    finish(tmp_path / "undisturbed", command)
    struck = tmp_path / "struck"
    process = start(struck, command)
    # After the first of five saves, at a moment that is random.
    while not list((struck / "agent" / "checkpoints").glob("[0-9]*")):
        time.sleep(0.003)
        assert process.poll() is None, process.communicate()
    time.sleep(time.time_ns() % 100 / 1000)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (struck / "agent" / "result.json").exists()
    finish(struck, command)
    assert_same_end(tmp_path / "undisturbed", struck)
    memory = final_state(struck / "agent")["model_state"]["memory"]
    assert (int(memory["frames"]), int(memory["step"])) == (640, 320)


needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler for inject.c")


@needs_compiler
@pytest.mark.slow
def test_a_run_hit_at_a_single_call_goes_on_by_the_same_command(tmp_path):
    """The calls in which it once did not; `python -m tests.violence --at-calls` takes all."""
    with started(tmp_path) as runs:
        reference, struck = tmp_path / "undisturbed", tmp_path / "struck"
        assert runs.run(reference, at=0).status == 0
        calls = runs.calls()
        assert len(calls) > 200
        config, metrics, checkpoint = (
            next(i for i, call in enumerate(calls, start=1) if words in call)
            for words in ("write /.config.json", "write /whole/metrics", "_CHECKPOINT_METADATA")
        )
        for at, mode in ((config, TORN), (config + 2, KILL), (metrics, FULL), (checkpoint, FULL)):
            strike(runs, struck, reference, at, mode)
            shutil.rmtree(struck)


@needs_compiler
@pytest.mark.slow
def test_a_run_whose_newest_checkpoint_is_broken_ends_as_it_would_have(tmp_path):
    counts, wrong = break_checkpoints(tmp_path, only=".")
    assert not wrong
    assert counts.total() == 3


@pytest.mark.slow
def test_ctrl_c_saves_too(tmp_path):
    process = start(tmp_path, (*STUDY, "--interrupted-status", "75"))
    log = tmp_path / "whole" / "metrics.jsonl"
    while not (log.exists() and "train" in log.read_text()):
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 75
    assert error == "Ctrl-C: the run saves and ends; press it again to end at once\n"
    assert out.startswith("stopped by Ctrl-C; step ")
    assert "the same command goes on from there" in out
