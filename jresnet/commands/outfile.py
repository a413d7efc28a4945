"""Where a command may write."""

from pathlib import Path

from jresnet.errors import UsageError


def check_new(field: str, path: Path, endings: tuple[str, ...]) -> None:
    """Raise UsageError unless `path` can be written: a known ending, a folder, nothing there yet."""
    if path.suffix not in endings:
        raise UsageError(f"{field}={path}: expected a name that ends in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise UsageError(f"{field}={path}: expected a folder that exists, {path.parent} does not")
    if path.exists():
        raise UsageError(f"{field}={path}: expected a new name, this file exists already")
