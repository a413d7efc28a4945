"""Checks that only the user can write to a folder whose files will be run as programs."""

import os
import stat
from pathlib import Path

_LINKS = 40  # as many as the system follows
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def open_to_others(folder: Path) -> str | None:
    """Say how others than this user and root could change a folder or replace it; None if they cannot.

    Every folder above it counts, and every link on the way. A folder that is not there yet is as
    safe as the last one that is.
    """
    waiting, here, links = list(folder.absolute().parts[1:]), Path("/"), 0
    if reason := _writable(here, os.lstat(here), last=not waiting):
        return reason
    while waiting:
        name = waiting.pop(0)
        if name == "..":
            here = here.parent
            continue
        try:
            status = os.lstat(here / name)
        except FileNotFoundError:
            return None
        if reason := _foreign(here / name, status):
            return reason
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _LINKS:
                return f"{folder} has too many links"
            target = (here / name).readlink()
            here = Path("/") if target.is_absolute() else here
            waiting = [part for part in target.parts if part != "/"] + waiting
            continue
        here /= name
        if reason := _writable(here, status, last=not waiting):
            return reason
    return None


def remove_foreign(folder: Path, pattern: str) -> list[Path]:
    """Remove files of a folder that someone else could have written; their paths."""
    closed = not stat.S_IMODE(folder.stat().st_mode) & 0o077
    removed = []
    for path in folder.glob(pattern):
        status = os.lstat(path)
        # In a closed folder nobody else comes to a file, whatever its mode.
        loose = not closed and status.st_mode & _OTHERS
        if not stat.S_ISREG(status.st_mode) or loose or _foreign(path, status):
            path.unlink()
            removed.append(path)
    return removed


def _foreign(path: Path, status: os.stat_result) -> str | None:
    if status.st_uid in (0, os.getuid()):
        return None
    return f"{path} belongs to user {status.st_uid}"


def _writable(path: Path, status: os.stat_result, last: bool) -> str | None:
    # In a folder with the sticky bit, as /tmp, nobody replaces what is another's.
    sticky = status.st_mode & stat.S_ISVTX and not last
    if status.st_mode & _OTHERS and not sticky:
        return f"others can write to {path}"
    return None
