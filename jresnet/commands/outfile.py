"""Where a command may write."""

from pathlib import Path

from jresnet.errors import UsageError


def check_new(field: str, path: Path, endings: tuple[str, ...]) -> None:
    """Raise UsageError unless `path` can be written: a known ending, a folder, nothing there yet."""
    if path.suffix not in endings:
        raise UsageError(f"{field} {str(path)!r}: the name must end in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise UsageError(f"{field} {str(path)!r}: there is no folder {str(path.parent)!r}")
    if path.exists():
        raise UsageError(f"{field} {str(path)!r} exists already: take another name")
