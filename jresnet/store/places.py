"""Where copies of folders in object stores lie, and the addresses that such paths stand for."""

import hashlib
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.storage import cache

READ = "read"  # purpose of copies that are read
_LONGEST = 200  # bytes of a folder's name; file systems take 255


def addressed(value: Any) -> Any:
    """A JSON-able value with addresses in place of what `copied` made of them.

    Copies lie elsewhere on other machines.
    """
    if isinstance(value, Mapping):
        return {key: addressed(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [addressed(one) for one in value]
    root = f"{copies() / READ}/"
    if isinstance(value, str) and value.startswith(root):
        quoted, _, *inside = value.removeprefix(root).split("/")
        return "/".join((urllib.parse.unquote(quoted), *inside))
    return value


def copies() -> Path:
    """The folder of all copies."""
    return cache() / "copies"


def key(address: str) -> str:
    """A folder's name for an address, from which that can be read, unless it is very long."""
    quoted = urllib.parse.quote(address, safe="")
    return quoted if len(quoted) <= _LONGEST else hashlib.sha256(quoted.encode()).hexdigest()
