"""Pickles, read without calling anything that they name.

A pickle is a program for a small stack machine, and Python's own machine imports and calls what the
program says. The one here knows the containers; a caller adds the few functions that make arrays
and tensors. Every other class or function becomes an `Inert` stand-in, which takes arguments,
state and items and does nothing with them.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any

# A checkpoint of a thousand tensors has about a hundred thousand instructions. Each may make one
# object, so this bounds memory (about 250 MB) and time (some seconds).
INSTRUCTIONS = 2_000_000


class RefusedError(ValueError):
    """A pickle that is whole, but that this reader will not follow."""


class Global:
    """The name of a class or function in a pickle."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class Inert:
    """Stands for an object; `name` is the class or function that would have made it."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name


class Buildable:
    """An object of a caller's that takes its state from the pickle."""

    __slots__ = ()

    def build(self, state: Any, machine: "Machine") -> None:
        raise NotImplementedError


Call = Callable[["Machine", tuple[Any, ...]], Any]
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
    "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Machine:
    """Runs one pickle.

    Args:
        calls: functions by name, of the machine and the pickled arguments.
        size: bytes of the file; `spend` bounds what is copied by it.
        persistent: turns a persistent id into an object.
    """

    def __init__(
        self,
        calls: Mapping[str, Call],
        size: int,
        persistent: Callable[[Any], Any] | None = None,
    ):
        self.calls = calls
        self.persistent = persistent or (lambda pid: Inert("a persistent id"))
        self.budget = 4 * size + 2**16
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}

    def spend(self, amount: int) -> None:
        """Count a copy of `amount` bytes: one value can be named, and copied, again and again."""
        self.budget -= amount
        if self.budget < 0:
            raise RefusedError("refused: its pickle copies more than the file holds")

    def run(self, stream: IO[bytes]) -> Any:
        """The object of the next pickle in `stream`. Raises ValueError or IndexError if broken."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= INSTRUCTIONS:
                raise RefusedError(f"refused: its pickle has more than {INSTRUCTIONS:,} steps")
            if opcode.name == "STOP":
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise ValueError("the pickle has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in TUPLES:
            stack.append(tuple(self._take(TUPLES[name])))
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("PERSID", "BINPERSID"):
            stack.append(self.persistent(argument if name == "PERSID" else stack.pop()))
        elif name not in ("PROTO", "FRAME") and not self._contain(name):
            self._make(name, argument)

    def _contain(self, name: str) -> bool:
        """Marks and containers; False for another instruction."""
        stack = self.stack
        match name:
            case "MARK":
                self.below.append(stack)
                self.stack = []
            case "POP":
                # A mark counts as an item.
                if stack:
                    stack.pop()
                else:
                    self._marked()
            case "POP_MARK":
                self._marked()
            case "DUP":
                stack.append(stack[-1])
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "LIST":
                items = self._marked()
                self.stack.append(items)
            case "TUPLE":
                items = self._marked()
                self.stack.append(tuple(items))
            case "DICT":
                items = self._marked()
                self.stack.append(mapping(zip(items[::2], items[1::2], strict=True)))
            case "APPEND":
                self._extend([stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self._extend(self._marked())
            case "SETITEM":
                self._update(self._take(2))
            case "SETITEMS":
                self._update(self._marked())
            case _:
                return False
        return True

    def _make(self, name: str, argument: Any) -> None:
        """Names, calls and states."""
        match name:
            case "GLOBAL":
                value: Any = Global(str(argument).replace(" ", "."))
            case "STACK_GLOBAL":
                value = _named(*self._take(2))
            case "REDUCE" | "NEWOBJ":
                function, arguments = self._take(2)
                value = self._call(function, arguments)
            case "NEWOBJ_EX":
                function, arguments, _ = self._take(3)
                value = self._call(function, arguments)
            case "INST":
                value = self._call(Global(str(argument).replace(" ", ".")), tuple(self._marked()))
            case "OBJ":
                function, *arguments = self._marked()
                value = self._call(function, tuple(arguments))
            case "BUILD":
                state = self.stack.pop()
                if isinstance(self.stack[-1], Buildable):
                    self.stack[-1].build(state, self)
                return  # attributes of all others stay unset
            case "EMPTY_SET":
                value = Inert("builtins.set")
            case "FROZENSET":
                self._marked()
                value = Inert("builtins.frozenset")
            case "BYTEARRAY8":
                value = bytes(argument)
            case "EXT1" | "EXT2" | "EXT4":
                value = Inert("copyreg's extension registry")
            case _:
                raise RefusedError(f"refused: its pickle has the instruction {name}")
        self.stack.append(value)

    def _call(self, function: Any, arguments: Any) -> Any:
        name = function.name if isinstance(function, (Global, Inert)) else type(function).__name__
        known = self.calls.get(name) if isinstance(function, Global) else None
        if known is None or not isinstance(arguments, tuple):
            return Inert(name)
        return known(self, arguments)

    def _take(self, count: int) -> list[Any]:
        """The topmost items, lowest first."""
        if count > len(self.stack):
            raise IndexError("its pickle takes more than it has put")
        if not count:
            return []
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _marked(self) -> list[Any]:
        """The items above the topmost mark, which goes."""
        items = self.stack
        self.stack = self.below.pop()
        return items

    def _extend(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def _update(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(mapping(zip(items[::2], items[1::2], strict=True)))


def _named(module: Any, name: Any) -> Global:
    if not (isinstance(module, str) and isinstance(name, str)) or len(module) + len(name) > 500:
        raise ValueError("its pickle has a class without a name")
    return Global(f"{module}.{name}")


def mapping(pairs: Any) -> dict[Any, Any]:
    """A dict of (key, value) pairs; a key that is slow to hash becomes a stand-in."""
    return {_key(key): value for key, value in pairs}


def _key(value: Any) -> Any:
    plain = value is None or isinstance(value, (str, bytes, float))
    if plain or (isinstance(value, int) and value.bit_length() <= 64):
        return value
    if (
        isinstance(value, tuple)
        and len(value) <= 8
        and not any(isinstance(v, tuple) for v in value)
    ):
        return tuple(_key(item) for item in value)
    return Inert(type(value).__name__)
