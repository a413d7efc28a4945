"""Where a command may write."""

from pathlib import Path

from jresnet.errors import UsageError


def check_new(field: str, path: Path, endings: tuple[str, ...]) -> None:
    """Raise UsageError unless `path` can be written: a known ending, a folder, nothing there yet."""
    if path.suffix not in endings:
        raise UsageError(f"{field}={path}: expected a name that ends in {' or '.join(endings)}")
    _check_parent(field, path)
    if path.exists():
        raise UsageError(f"{field}={path}: expected a new name, this file exists already")


def check_empty(field: str, folder: Path) -> None:
    """Raise UsageError unless `folder` is empty, or new and in a folder that exists."""
    if not folder.exists():
        _check_parent(field, folder)
    elif not folder.is_dir():
        raise UsageError(f"{field}={folder}: expected a folder, this is a file")
    elif first := next(folder.iterdir(), None):
        raise UsageError(f"{field}={folder}: expected a new or empty folder, it holds {first.name}")


def _check_parent(field: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{field}={path}: expected a folder that exists, {path.parent} does not")
