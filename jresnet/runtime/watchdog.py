"""A run that hangs ends: the stacks of all threads are written down and the process exits.

A collective waits for ever for a host that died, a network file system for its server. Nobody
looks at the terminal of a pod; a process that exits is noticed and started again.
"""

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from typing import TextIO

EXIT_STATUS = 1
COMPILING = 10  # a compilation may take that many times the limit

_BACKSTOP = 60.0  # seconds more than the limit


class Watchdog:
    """Exits the process after `seconds` without `progress`; None or 0 watches nothing.

    A context manager. The stacks go to stderr and to `folder/stacks-<process>.txt`.
    """

    def __init__(self, seconds: float | None, folder: Path, process: int = 0):
        self.seconds = seconds
        self.path = folder / f"stacks-{process}.txt"
        self.backstop = (0.0, 0.0)  # its limit, and when it was set
        self.progress("starting")
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        if self.seconds:
            self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        faulthandler.cancel_dump_traceback_later()

    def progress(self, doing: str, times: float = 1) -> None:
        """The run has come to `doing`, which may take `times` the limit."""
        limit = (self.seconds or 0) * times
        now = time.monotonic()
        self.state = (doing, limit, now + limit)
        # In C and without the interpreter's lock, should a library never give that back. Setting
        # it takes 0.1 ms, so not at every step.
        if self.seconds and (limit != self.backstop[0] or now > self.backstop[1] + 1):
            faulthandler.dump_traceback_later(limit + _BACKSTOP, exit=True, file=_terminal())
            self.backstop = (limit, now)

    def _watch(self) -> None:
        while not self.closed.wait(max(0.01, self.state[2] - time.monotonic())):
            doing, limit, deadline = self.state
            if deadline > time.monotonic():
                continue
            message = f"error: no progress for {limit:g} s ({doing}); stacks of all threads"
            try:
                with self.path.open("a") as file:
                    _dump(message, file)
            except OSError as error:  # perhaps the file system is what hangs or is full
                message += f" (not in {self.path}: {error})"
            _dump(message, _terminal())
            os._exit(EXIT_STATUS)


def _terminal() -> TextIO:
    # A notebook's sys.stderr is no file, and faulthandler needs one.
    return sys.__stderr__ or sys.stderr


def _dump(message: str, file: TextIO) -> None:
    print(message, file=file, flush=True)
    faulthandler.dump_traceback(file, all_threads=True)
    file.flush()
