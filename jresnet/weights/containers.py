"""Containers in a pickle that Python makes by calls, and the bytes of old protocols."""

from typing import Any

from jresnet.weights.inert import Call, Inert, Machine, mapping


def _ordered(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """OrderedDict, defaultdict, Counter: the dict or pairs among the arguments, else empty."""
    last = arguments[-1] if arguments else None
    if isinstance(last, dict):
        return last
    if not isinstance(last, (list, tuple)):
        return {}
    machine.spend(100 * len(last))
    return mapping((key, value) for key, value in last)


def _encode(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """How Python 3 writes bytes in protocol 2: `_codecs.encode(text, "latin1")`."""
    text = arguments[0]
    if not isinstance(text, str):
        return Inert("_codecs.encode")
    machine.spend(len(text))
    return text.encode("latin1")


def _bytearray(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """`bytearray(bytes)`, or of a text in latin1 as protocol 2 has it; the bytes alone."""
    content = arguments[0] if arguments else b""
    if isinstance(content, str):
        return _encode(machine, arguments)
    return content if isinstance(content, bytes) else Inert("builtins.bytearray")


CONTAINERS: dict[str, Call] = {
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _ordered,
    "collections.Counter": _ordered,
    "builtins.dict": _ordered,
    "_codecs.encode": _encode,
    "builtins.bytearray": _bytearray,
    "__builtin__.bytearray": _bytearray,
}
