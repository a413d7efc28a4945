"""Files that are complete or absent, even if a process is killed or the power fails; and JSON files."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from jresnet.errors import UsageError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` at the end of the context.

    If that raises, what was at `path` stays. Raises OSError, which names `path`.
    """
    # Always the same name, so that the file of a killed process is overwritten.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with named(path), partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Add `path` to errors of the system that name no file, such as a full disk at a write."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def cache() -> Path:
    """The folder of what was downloaded: JRESNET_CACHE, or ~/.cache/jresnet."""
    folder = os.environ.get("JRESNET_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "jresnet"


def write_json(path: Path, value: Any) -> None:
    """Write JSON; the file is complete or absent."""
    text = json.dumps(value, indent=2) + "\n"
    with replacing(path) as file:
        file.write(text.encode())


def read_json(path: Path) -> Any:
    """Any JSON. Raises UsageError if the file holds none, FileNotFoundError if it is not there."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, a number too long, ...
        reason = " ".join(str(error).split())[:100]
        raise UsageError(f"{str(path)!r} is not JSON ({reason}): the run was damaged") from error


def as_json(value: Any) -> Any:
    """A value after a round trip through JSON: tuples become lists, paths become texts."""
    return json.loads(json.dumps(value, default=str))
