"""Where two descriptions part."""

from collections.abc import Iterator
from typing import Any

from jresnet.description.renamed import current_name

# Under these keys of a description lie the fields of what it describes.
_FIELDS = ("fields", "dict", "closure", "defaults")


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two descriptions part: (path, the first's value, the other's).

    A field that only one of them has is passed over: a later version may have more. So is the
    module of a name: code moves, also into the library, where its version stands for the code.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() ^ other.keys() <= {"code"}:
        for key in (key for key in one if key in other):
            if key not in _FIELDS:
                yield from differences(one[key], other[key], path)
                continue
            for name in (name for name in one[key] if name in other[key]):
                inner = f"{path}.{name}".removeprefix(".")
                yield from differences(one[key][name], other[key][name], inner)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif _comparable(one) != _comparable(other):
        yield path, one, other


def _comparable(value: Any) -> Any:
    return current_name(value).rpartition(":")[2] if isinstance(value, str) else value
