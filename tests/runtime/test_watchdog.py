"""A process that hangs writes its stacks and ends; one that goes on does not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from jresnet.runtime.watchdog import Watchdog

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
from jresnet.runtime.watchdog import Watchdog

def wait_for_a_host_that_died():
    threading.Event().wait()

watchdog = Watchdog(0.5, Path(sys.argv[1]), 3)
watchdog.progress("step 7")
with watchdog:
    wait_for_a_host_that_died()
"""


def test_a_hang_ends_with_the_stacks_in_both_places(tmp_path):
    done = run(HANG, tmp_path)
    assert done.returncode == 1
    written = (tmp_path / "stacks-3.txt").read_text()
    for text in (done.stderr, written):
        assert text.startswith("error: no progress for 0.5 s (step 7)")
        assert "in wait_for_a_host_that_died" in text


def test_stacks_that_cannot_be_written_still_go_to_stderr(tmp_path):
    done = run(HANG, tmp_path / "nowhere")
    assert done.returncode == 1
    assert "No such file" in done.stderr
    assert "in wait_for_a_host_that_died" in done.stderr


LOCKED = """
import ctypes, jresnet.runtime.watchdog as watchdog
from pathlib import Path
watchdog._BACKSTOP = 0.5
with watchdog.Watchdog(0.5, Path("nowhere")):
    ctypes.PyDLL(None).sleep(30)  # holds the interpreter's lock
"""


def test_a_hang_that_holds_the_interpreters_lock_ends_too():
    done = run(LOCKED)  # returns 0 where it slept to the end
    assert done.returncode == 1
    assert "Timeout" in done.stderr


class Clock:
    """A clock that only the test moves, so that no busy machine can bring a deadline."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The watchdog's."""
    clock = Clock()
    monkeypatch.setattr("jresnet.runtime.watchdog.time", clock)
    return clock


@pytest.mark.parametrize("seconds", [0.1, 0, None])
def test_progress_keeps_it_quiet_and_leaving_ends_it(tmp_path, clock, seconds):
    with Watchdog(seconds, tmp_path) as watchdog:
        for step in range(4):
            clock.now += 0.09
            watchdog.progress(f"step {step}")
            time.sleep(0.15)  # the thread looks in between
        watchdog.progress("compiling", 10)
        clock.now += 0.9
        time.sleep(0.15)
    clock.now += 100
    time.sleep(0.15)
    assert not list(tmp_path.iterdir())


def test_what_it_says_is_what_came_last(tmp_path, clock, monkeypatch):
    watchdog = Watchdog(0.1, tmp_path)
    monkeypatch.setattr("os._exit", lambda status: watchdog.closed.set())
    clock.now += 5
    watchdog.progress("step 8")
    with watchdog:
        time.sleep(0.15)
        watchdog.progress("step 9")
        clock.now += 0.2  # too late for both
        watchdog.thread.join()
    assert "(step 9)" in (tmp_path / "stacks-0.txt").read_text()
