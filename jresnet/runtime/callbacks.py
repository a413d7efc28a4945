"""Errors of Python functions that compiled programs call."""

import contextlib
import logging
import re
from collections.abc import Iterator

import jax

from jresnet.errors import UsageError


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Raise the UsageError of a callback as itself.

    jax writes the traceback of a callback to its log, and raises its own error with that text: a
    ValueError where the results are fetched.
    """
    log = logging.getLogger("jax._src.callback")
    log.addFilter(_other)
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if told := re.search(r"\bUsageError: (.+)", str(error)):
            raise UsageError(told[1]) from error
        raise
    finally:
        log.removeFilter(_other)


def _other(record: logging.LogRecord) -> bool:
    """Whether a record is of something else than a UsageError."""
    return not (record.exc_info and isinstance(record.exc_info[1], UsageError))
