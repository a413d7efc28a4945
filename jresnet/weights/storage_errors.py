"""Errors of Orbax and tensorstore, which are long, as one line in the system's words."""

import errno
import logging
import os
import sys
import warnings
from typing import Any

# Where the system refuses, a checkpoint is not broken: the next try may read it.
_REFUSALS = ("EMFILE", "ENFILE", "ENOMEM", "EIO", "ESTALE", "ETIMEDOUT", "EACCES", "EPERM")
_WRITING = ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "ENOTDIR", "EEXIST")


def hush() -> None:
    """Print nothing of a failed read or write but the one line of its caller.

    Orbax abandons the other reads and writes of that checkpoint. Each of them then prints a
    traceback, from a thread of tensorstore's that finds the event loop closed, or as a task whose
    result nobody took.
    """
    if getattr(sys.excepthook, "hushed", False):
        return
    warnings.filterwarnings("ignore", r"coroutine '_read_array\w*' was never", RuntimeWarning)
    logging.getLogger("asyncio").addFilter(_is_not_orbax)
    # Orbax writes no such file there and warns all the same.
    logging.getLogger("absl").addFilter(
        lambda record: "Metadata file does not exist" not in record.getMessage()
    )
    loud, unraisable = sys.excepthook, sys.unraisablehook

    def excepthook(kind: Any, error: BaseException, trace: Any) -> None:
        if not _abandoned(error):
            loud(kind, error, trace)

    def unraisablehook(args: Any) -> None:
        # A coroutine of Orbax's that was dropped in the middle of a read.
        code = getattr(args.object, "cr_code", None)
        if not (_abandoned(args.exc_value) or (code and "orbax" in code.co_filename)):
            unraisable(args)

    excepthook.hushed = True  # type: ignore[attr-defined]
    sys.excepthook, sys.unraisablehook = excepthook, unraisablehook


def _is_not_orbax(record: logging.LogRecord) -> bool:
    text = logging.Formatter().format(record)  # with its traceback
    # Where a task only waits for tensorstore, no frame of it is Orbax's.
    return not any(name in text for name in ("orbax", '"zarr" driver', "OCDBT database"))


def _abandoned(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"


def refusal(error: BaseException) -> str | None:
    """The system's words if it refused to read: too many open files, no permission, ..."""
    if isinstance(error, MemoryError):
        return "out of memory"
    return _said(error, _REFUSALS)


def reason(error: Exception) -> str:
    """The system's words, where tensorstore's page of context holds them; one line."""
    return _said(error, (*_WRITING, *_REFUSALS)) or one_line(error, 300)


def one_line(error: Exception, length: int = 200) -> str:
    """An exception's text on one line, not longer than `length`."""
    return " ".join(str(error).split())[:length]


def _said(error: BaseException, names: tuple[str, ...]) -> str | None:
    text = " ".join(str(error).split())
    words = (os.strerror(getattr(errno, name)) for name in names)
    return next((word for word in words if word in text), None)
