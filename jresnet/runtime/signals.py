"""SIGTERM and Ctrl-C while nothing is there to save: one line and the promised exit status.

Only the standard library is imported, so that `experiments/__init__.py` can install this before
the seconds in which jax is imported. Importing this module changes nothing.
"""

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}
QUIT = 130  # what a shell says of a program that Ctrl-C ended

_FLAG = "--interrupted-status"
_ended: int | None = None  # the status of a run that has ended


def install(argv: Sequence[str] | None = None) -> bool:
    """From now on SIGTERM and Ctrl-C end the process with one line; False if nothing was done.

    The status is that of `--interrupted-status` in `argv`, by default the process's arguments.
    Only the main thread can do this. A signal that the process was started to ignore stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    status = promised(sys.argv[1:] if argv is None else argv)

    def leave(number: int, frame: object) -> None:
        if _ended is None:
            say(f"stopped by {NAMES[signal.Signals(number)]} before anything began", 1)
        os._exit(status if _ended is None else _ended)

    for number in heeded():
        signal.signal(number, leave)
    return True


def install_for_module(package: str) -> None:
    """`install` if this process is `python -m package.module`; for a package's `__init__.py`.

    That module is not found yet when this runs, and `sys.argv` starts with "-m" until it is.
    """
    words = sys.orig_argv
    if sys.argv[:1] == ["-m"] and "-m" in words:
        named = words[words.index("-m") + 1 :]
        if named and named[0].startswith(f"{package}."):
            install()


@contextlib.contextmanager
def installed(argv: Sequence[str] | None = None) -> Iterator[None]:
    """`install`, and what was there before when the context ends."""
    global _ended
    before = {number: signal.getsignal(number) for number in NAMES}
    early = getattr(before[signal.SIGTERM], "__module__", None) == __name__
    if not install(argv):
        yield
        return
    status = 1
    try:
        yield
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        if early:  # the process ends with the run
            over(status)
        else:
            restore(before)
            _ended = None


def over(status: int) -> None:
    """The run has ended: a signal from now on ends the process, with this status and no line."""
    global _ended
    _ended = status


def heeded() -> list[signal.Signals]:
    """Those of SIGTERM and Ctrl-C that are not ignored, as `nohup` and `&` do."""
    return [number for number in NAMES if signal.getsignal(number) is not signal.SIG_IGN]


def restore(handlers: Mapping[signal.Signals, object]) -> None:
    """Put handlers back."""
    for number, handler in handlers.items():
        # None: set by something other than Python, such as jax's own preemption notifier.
        signal.signal(number, handler or signal.SIG_DFL)  # type: ignore[arg-type]


def quit_at_once(line: str) -> NoReturn:
    """End the process here and now, with one line on stderr."""
    say(line, 2)
    os._exit(QUIT)


def say(line: str, stream: int) -> None:
    """Write a line from within a signal handler, where `print` may be in the middle of another."""
    with contextlib.suppress(OSError):  # nobody is listening any more
        os.write(stream, f"{line}\n".encode())


def promised(argv: Sequence[str]) -> int:
    """The value of `--interrupted-status` in a command line, before it is parsed; 0 without one."""
    status = "0"
    for word, following in itertools.pairwise([*argv, ""]):
        name, equals, value = word.replace("_", "-", 2).partition("=")
        if name == _FLAG:
            status = value if equals else following
    return int(status) if status.isascii() and status.isdigit() and int(status) < 256 else 0
