"""The main job, killed at any moment and started again, ends with the same bits."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

ROOT = Path(__file__).parents[1]
ARGUMENTS = ["--depths", "8", "--steps", "40", "--workdir"]


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.degradation", *ARGUMENTS, str(folder)],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder):
    process = start(folder)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out


def final(folder, net):
    with ocp.CheckpointManager(folder / net / "checkpoints") as manager:
        args = ocp.args.Composite(state=ocp.args.StandardRestore())
        return manager.restore(manager.latest_step(), args=args).state


@pytest.mark.slow
def test_sigkill_at_random_moments_leaves_no_trace_in_the_result(tmp_path):
    expected = finish(tmp_path / "undisturbed")
    rng = np.random.default_rng()  # truly random moments; a failure prints them
    moments = []
    folder = tmp_path / "killed"
    for fraction in (0.5, 0.8, 0.95):
        process = start(folder)
        # Wait for the first net, then for a random while in its training or the next one's.
        deadline = time.monotonic() + 120
        while not list(folder.glob("*/metrics.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.02)
        moments.append(float(rng.uniform(0, 8 * fraction)))
        time.sleep(moments[-1])
        process.send_signal(signal.SIGKILL)
        process.communicate()
    out = finish(folder)

    def closing(text):
        return text.strip().splitlines()[-1].split(" See ")[0]

    assert closing(out) == closing(expected), moments
    for net in ("plain-8-seed0", "ResNet-8-seed0"):
        one, other = final(tmp_path / "undisturbed", net), final(folder, net)
        assert jax.tree.structure(one) == jax.tree.structure(other)
        jax.tree.map(np.testing.assert_array_equal, one, other)
        logs = [
            (tmp_path / run / net / "metrics.jsonl").read_bytes()
            for run in ("undisturbed", "killed")
        ]
        assert logs[0] == logs[1], moments
        results = [
            json.loads((tmp_path / run / net / "result.json").read_text())["metrics"]
            for run in ("undisturbed", "killed")
        ]
        assert results[0] == results[1]


@pytest.mark.slow
def test_sigterm_saves_exits_and_the_same_command_goes_on(tmp_path):
    process = start(tmp_path / "run")
    while not list(tmp_path.rglob("metrics.jsonl")):
        time.sleep(0.02)
        assert process.poll() is None
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    assert "the same command goes on from there" in out or "report.html" in out
    assert "report.html" in finish(tmp_path / "run")
