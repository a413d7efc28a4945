"""A process that hangs writes its stacks and ends; one that goes on does not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from jresnet.train.watchdog import Watchdog

ROOT = Path(__file__).parents[2]


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


HANG = """
import sys, threading
from pathlib import Path
from jresnet.train.watchdog import Watchdog

def wait_for_a_host_that_died():
    threading.Event().wait()

with Watchdog(2.0, Path(sys.argv[1]), 3) as watchdog:
    watchdog.progress("step 7")
    wait_for_a_host_that_died()
"""


def test_a_hang_ends_with_the_stacks_in_both_places(tmp_path):
    done = run(HANG, tmp_path)
    assert done.returncode == 1
    written = (tmp_path / "stacks-3.txt").read_text()
    for text in (done.stderr, written):
        assert text.startswith("error: no progress for 2 s (step 7)")
        assert "in wait_for_a_host_that_died" in text


def test_stacks_that_cannot_be_written_still_go_to_stderr(tmp_path):
    done = run(HANG, tmp_path / "nowhere")
    assert done.returncode == 1
    assert "No such file" in done.stderr
    assert "in wait_for_a_host_that_died" in done.stderr


LOCKED = """
import ctypes, jresnet.train.watchdog as watchdog
from pathlib import Path
watchdog._BACKSTOP = 0.5
with watchdog.Watchdog(0.5, Path("nowhere")):
    ctypes.PyDLL(None).sleep(30)  # holds the interpreter's lock
"""


def test_a_hang_that_holds_the_interpreters_lock_ends_too():
    begun = time.monotonic()
    done = run(LOCKED)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert time.monotonic() - begun < 25


@pytest.mark.parametrize("seconds", [0.3, 0, None])
def test_progress_keeps_it_quiet_and_leaving_ends_it(tmp_path, seconds):
    with Watchdog(seconds, tmp_path) as watchdog:
        for step in range(4):
            time.sleep(0.15)
            watchdog.progress(f"step {step}")
        watchdog.progress("compiling", 10)
        time.sleep(0.5)
    time.sleep(0.4)
    assert not list(tmp_path.iterdir())
