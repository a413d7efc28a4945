"""Standard output and error as they are: in any encoding, with foreign names, and readers that go away."""

import codecs
import functools
import logging
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from jresnet.text import shown

P = ParamSpec("P")
R = TypeVar("R")

# For an encoding that lacks them; the others are written out.
_ALIKE = str.maketrans({
    **dict.fromkeys("─–—−", "-"), **dict.fromkeys("╭╮╰╯", "+"), "│": "|", "×": "x", "±": "+-",
    "’": "'", "…": "...",
})  # fmt: skip
_ERRORS = "jresnet.alike"


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ALIKE)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(_ERRORS, _replace)

# What a shell reports of a process that the signal SIGPIPE ended.
READER_GONE = 141


def program(function: Callable[P, R]) -> Callable[P, R]:
    """An entry point that prints in any encoding, and ends quietly when its reader goes away.

    Characters that an encoding lacks are replaced by similar ones, or written out, as `\\u732b`.
    A reader that goes away, as `head -1` does, ends the program with status 141 and without a
    traceback.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        prepare()
        try:
            try:
                return function(*args, **kwargs)
            finally:
                if sys.stdout:  # None where it was closed from the start
                    sys.stdout.flush()
        except BrokenPipeError:
            if not reader_gone():
                raise
            sys.exit(READER_GONE)

    return run


def prepare() -> None:
    """Make standard output, standard error and the log fit for any text."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):  # a notebook's stream has none
            reconfigure(errors=_ERRORS)
    logging.basicConfig(level=logging.WARNING)
    for handler in logging.getLogger().handlers:
        # Of a library that logged before, too.
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr:
            handler.setFormatter(LogLines("%(levelname)s: %(message)s"))


class LogLines(logging.Formatter):
    """Messages as a terminal can show them; their lines stay lines."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(shown, super().format(record).split("\n")))


def complain(error: Exception) -> None:
    """Say in one line of standard error what went wrong."""
    print(f"error: {shown(' '.join(str(error).split()))}", file=sys.stderr)


def reader_gone() -> bool:
    """Whether nobody reads standard output or error any more; they then lead nowhere from now on."""
    poll = select.poll()
    descriptors = {stream.fileno() for stream in (sys.stdout, sys.stderr) if stream}
    for descriptor in descriptors:
        poll.register(descriptor, 0)  # its errors and its end are told in any case
    unread = [descriptor for descriptor, _ in poll.poll(0)]
    # What is left in a stream would be written, and fail, when Python exits.
    with Path(os.devnull).open("wb") as nowhere:
        for descriptor in unread:
            os.dup2(nowhere.fileno(), descriptor)
    return bool(unread)
