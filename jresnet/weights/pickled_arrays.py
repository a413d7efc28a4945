"""numpy's arrays and dtypes in a pickle, made from their bytes alone."""

import math
import re
from typing import Any

import numpy as np

from jresnet.weights.inert import Buildable, Call, Inert, Machine

NUMBERS = re.compile(r"[biufc]\d{1,2}|\?")  # no objects, texts, records or dates


class Dtype(Buildable):
    """`numpy.dtype("f4")`, whose byte order comes as its state."""

    __slots__ = ("code", "order")

    def __init__(self, code: str):
        self.code, self.order = code, "<"

    def build(self, state: Any, machine: Machine) -> None:
        del machine
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = "<" if state[1] == "=" else state[1]

    def resolve(self) -> np.dtype:
        """numpy's own. Raises TypeError for one that it does not know."""
        return np.dtype(self.order + self.code)


class Objects(Inert):
    """The dtype of arrays of Python's objects."""


class Array(Buildable):
    """An array; `value` is None before its state has come, or where that is no block of numbers.

    `items` are those of an array of objects along one axis, else None.
    """

    __slots__ = ("items", "value")

    def __init__(self, value: np.ndarray | None = None):
        self.value = value
        self.items: list[Any] | None = None

    def build(self, state: Any, machine: Machine) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            return
        _, shape, dtype, fortran, data = state
        if isinstance(dtype, Objects):
            if isinstance(data, list) and shape == (len(data),):
                self.items = data
        else:
            self.value = block(machine, data, dtype, shape, "F" if fortran else "C")


def block(machine: Machine, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray | None:
    """The bytes as an array, or None where this is no array of numbers.

    Raises ValueError for a shape that is not the bytes'.
    """
    if isinstance(data, str):  # Python 2 wrote bytes as text
        machine.spend(len(data))
        data = data.encode("latin1")
    if not (isinstance(data, bytes) and isinstance(dtype, Dtype)):
        return None
    size = sizes(shape)
    kind = dtype.resolve()
    if math.prod(size) * kind.itemsize != len(data):
        raise ValueError(f"an array of {kind} {size} in {len(data):,} bytes")
    return np.ndarray(size, kind, buffer=data, order="F" if order == "F" else "C")


def sizes(shape: Any) -> tuple[int, ...]:
    """A shape or strides. Raises ValueError for what is none, or more than numpy can have."""
    shape = shape if isinstance(shape, tuple) else None
    if shape is None or len(shape) > 64 or not all(type(n) is int for n in shape):
        raise ValueError("an array whose shape is no tuple of at most 64 whole numbers")
    if any(n < 0 or n.bit_length() > 62 for n in shape):
        raise ValueError("an array with a size or stride below 0 or beyond 2^62")
    return shape


def _dtype(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    del machine
    code = arguments[0] if arguments else None
    if isinstance(code, str) and NUMBERS.fullmatch(code):
        return Dtype(code)
    if code in ("O", "O4", "O8"):
        return Objects("numpy.dtype of objects")
    return Inert("numpy.dtype")


def _reconstruct(machine: Machine, arguments: tuple[Any, ...]) -> Array:
    del machine, arguments  # an empty array of any class; the state holds all
    return Array()


def _from_buffer(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    data, dtype, shape, order = (*arguments, None, None, None, None)[:4]
    return Array(block(machine, data, dtype, shape, order))


def _scalar(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """A number of numpy, such as `numpy.bool_`, as Python's."""
    dtype, data = (*arguments, None, None)[:2]
    value = block(machine, data, dtype, (), "C")
    return Inert("numpy.scalar") if value is None else value.item()


# numpy 2 renamed its core.
ARRAYS: dict[str, Call] = {"numpy.dtype": _dtype} | {
    f"numpy.{core}.{name}": function
    for core in ("core", "_core")
    for name, function in (
        ("multiarray._reconstruct", _reconstruct),
        ("multiarray.scalar", _scalar),
        ("numeric._frombuffer", _from_buffer),
    )
}
