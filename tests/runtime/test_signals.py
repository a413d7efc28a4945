"""SIGTERM and Ctrl-C from a run's first moments on: one line and the promised status."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jresnet.runtime import signals

ROOT = Path(__file__).parents[2]
DEGRADATION = ("-m", "experiments.degradation", "--smoke", "--depths", "8")


def start(*words, cwd=ROOT, **environment):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def installed_in(process):
    """Wait until the process handles SIGTERM."""
    bit = 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:") and int(line.split()[1], 16) & bit:
                return
        time.sleep(0.001)
    pytest.fail(process.communicate()[1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("how", "flags", "status"),
    [
        (signal.SIGTERM, (), 0),
        (signal.SIGTERM, ("--interrupted-status", "75"), 75),
        (signal.SIGINT, ("--interrupted_status=9",), 9),
    ],
)
def test_while_it_imports(tmp_path, how, flags, status):
    process = start(*DEGRADATION, "--workdir", tmp_path / "run", *flags)
    installed_in(process)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert out == f"stopped by {signals.NAMES[how]} before anything began\n"
    assert err == ""
    assert not (tmp_path / "run").exists()


SCRIPT = """
import os, signal, sys
from jresnet.experiment import Experiment, launch
from jresnet import experiment
def function() -> Experiment:
    "Nothing. arXiv:0000.00000"
    os.kill(os.getpid(), getattr(signal, os.environ["HOW"]))
    raise AssertionError("not reached")
launch(function)
"""


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
def test_while_the_experiment_is_built(tmp_path, how):
    (tmp_path / "mine.py").write_text(SCRIPT)
    process = start(
        "mine.py", "--interrupted-status", 3, cwd=tmp_path, HOW=how, JAX_PLATFORMS="cpu"
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert out.startswith("stopped before anything began;")
    assert out.count("\n") == 1
    assert err == ""
    assert {path.name for path in tmp_path.iterdir()} == {"mine.py"}


def test_importing_the_library_or_an_experiment_changes_no_signal():
    code = (
        "import signal; before = [signal.getsignal(n) for n in (2, 15)]\n"
        "import jresnet.run.launch, jresnet.runtime.signals, experiments.degradation\n"
        "assert [signal.getsignal(n) for n in (2, 15)] == before"
    )
    process = start("-c", code)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("", 0), ("--steps 3", 0), ("--interrupted-status 75", 75), ("--interrupted_status=4 --x", 4),
        ("--interrupted-status", 0), ("--interrupted-status x", 0), ("--interrupted-status 300", 0),
        ("--interrupted-status -1", 0), ("--interrupted-status 1 --interrupted-status 2", 2),
    ],
)  # fmt: skip
def test_the_status_is_known_before_the_command_line_is_parsed(words, status):
    assert signals.promised(words.split()) == status


def test_handlers_are_put_back_and_ignored_signals_stay_ignored():
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        terminate = signal.getsignal(signal.SIGTERM)
        with signals.installed([]):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not terminate
        assert signal.getsignal(signal.SIGTERM) is terminate
    finally:
        signal.signal(signal.SIGINT, before)


def test_after_the_end_a_signal_changes_nothing():
    code = (
        "import os, signal\nfrom jresnet.runtime import signals\n"
        "with signals.installed([]):\n"
        "    signals.over(2)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)"
    )
    process = start("-c", code)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 2


SECOND = """
import os, signal
from jresnet.runtime.stop import stoppable
with stoppable() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested()
    print("saving", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached", flush=True)
"""


def test_a_second_ctrl_c_ends_at_once():
    process = start("-c", SECOND, JAX_PLATFORMS="cpu")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "saving\n")
    first, second = err.splitlines()
    assert "press it again to end at once" in first
    assert second.startswith("stopped at once by a second Ctrl-C")
