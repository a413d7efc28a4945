"""A traced function as an ONNX graph.

What depends on no input is computed at once and becomes a constant. What is broadcast stays small
until an operation needs it whole, since ONNX broadcasts as NumPy does. A dimension that is open in
the trace is open in the graph.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import onnx
from jax.extend.core import Jaxpr, JaxprEqn, Literal
from onnx import helper, numpy_helper

OPSET = 18
IR_VERSION = 9  # of the file; what reads opset 18 reads it
# Functions that are called by name, and the parameter that holds their operations.
CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


class UnsupportedError(ValueError):
    """An operation that has no counterpart here."""


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """A constant, or the name of a node's output, and the shape that it has in the graph.

    That shape may have a 1 where the traced array has more.
    """

    shape: tuple[Any, ...]
    dtype: np.dtype
    array: np.ndarray | None = None
    name: str = ""

    @property
    def constant(self) -> np.ndarray:
        """The array. Raises UnsupportedError for a value that depends on an input."""
        if self.array is None:
            raise UnsupportedError(f"{self.name} depends on the input: expected a constant")
        return self.array


Rule = Callable[["Graph", JaxprEqn, list[Value]], Value]


class Graph:
    """Nodes and constants, in the order that they were added."""

    def __init__(self, rules: dict[str, Rule]) -> None:
        self.rules = rules
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._named: dict[tuple[Any, ...], str] = {}
        self._open: dict[str, tuple[str, int]] = {}

    def input(self, name: str, shape: tuple[Any, ...], dtype: np.dtype) -> Value:
        """An input, the first of which tells the sizes that are open."""
        for axis, size in enumerate(shape):
            if not is_known(size):
                self._open.setdefault(str(size), (name, axis))
        return Value(shape, dtype, name=name)

    def named(self, value: Value) -> str:
        """The name of a value, a constant stored once."""
        if value.array is None:
            return value.name
        array = np.ascontiguousarray(value.array)
        key = (array.dtype.str, value.array.shape, array.tobytes())
        if key not in self._named:
            name = f"constant_{len(self.constants)}"
            # ascontiguousarray gives a scalar an axis.
            self.constants.append(numpy_helper.from_array(array.reshape(value.array.shape), name))
            self._named[key] = name
        return self._named[key]

    def add(
        self, operator: str, inputs: Sequence[Value], shape: Sequence[Any], dtype: Any, **attributes: Any
    ) -> Value:  # fmt: skip
        """A node with one output of this shape and type."""
        name = f"{operator}_{len(self.nodes)}"
        names = [self.named(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name=name, **attributes))
        return Value(tuple(shape), np.dtype(dtype), name=name)

    def integers(self, numbers: Sequence[Any]) -> Value:
        """Sizes as the vector that ONNX's operators take; open ones are read off the input."""
        if all(map(is_known, numbers)):
            array = np.array(numbers, np.int64)
            return Value(array.shape, array.dtype, array)
        parts = [self._size(number) for number in numbers]
        return self.add("Concat", parts, (len(parts),), np.int64, axis=0)

    def _size(self, number: Any) -> Value:
        if is_known(number):
            return self.integers([number])
        if str(number) not in self._open:
            raise UnsupportedError(f"the size {number} is none of the input's")
        name, axis = self._open[str(number)]
        source = Value((), np.dtype(np.float32), name=name)
        return self.add("Shape", [source], (1,), np.int64, start=axis, end=axis + 1)

    def reshaped(self, value: Value, shape: Sequence[Any]) -> Value:
        """The same numbers in another shape, of which one size may be open."""
        if value.array is not None and all(is_known(size) for size in shape):
            array = value.array.reshape(tuple(shape))
            return Value(array.shape, value.dtype, array)
        sizes = [size if is_known(size) else -1 for size in shape]
        if sizes.count(-1) > 1:
            raise UnsupportedError(f"a shape with two open sizes, {tuple(shape)}")
        return self.add("Reshape", [value, self.integers(sizes)], shape, value.dtype)

    def whole(self, value: Value, shape: Sequence[Any]) -> Value:
        """A value of exactly this shape."""
        if tuple(value.shape) == tuple(shape):
            return value
        if value.array is not None and all(is_known(size) for size in shape):
            array = np.broadcast_to(value.array, tuple(shape))
            return Value(array.shape, value.dtype, array)
        return self.add("Expand", [value, self.integers(shape)], shape, value.dtype)

    def run(self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Value]) -> list[Value]:
        """The outputs of a traced function. Raises UnsupportedError."""
        values: dict[Any, Value] = {}

        def read(variable: Any) -> Value:
            return constant(variable.val) if isinstance(variable, Literal) else values[variable]

        values |= zip(jaxpr.constvars, map(constant, consts), strict=True)
        values |= zip(jaxpr.invars, inputs, strict=True)
        for equation in jaxpr.eqns:
            results = self._results(equation, [read(variable) for variable in equation.invars])
            values |= zip(equation.outvars, results, strict=True)
        return [read(variable) for variable in jaxpr.outvars]

    def _results(self, equation: JaxprEqn, inputs: list[Value]) -> list[Value]:
        name = equation.primitive.name
        if name in CALLS:
            return self._inlined(equation.params[CALLS[name]], inputs)
        if name == "scan":
            return self._unrolled(equation, inputs)
        sizes = [size for variable in equation.outvars for size in array_of(variable).shape]
        if all(v.array is not None for v in inputs) and all(is_known(s) for s in sizes):
            return self._computed(equation, inputs)
        if name not in self.rules:
            raise UnsupportedError(f"no counterpart of {name} is known")
        return [self.rules[name](self, equation, inputs)]

    def _inlined(self, inner: Any, inputs: Sequence[Value]) -> list[Value]:
        """A function within; jax 0.12 has its constants at hand where 0.10 closed over them."""
        jaxpr = getattr(inner, "jaxpr", inner)
        return self.run(jaxpr, getattr(inner, "consts", ()), inputs)

    def _computed(self, equation: JaxprEqn, inputs: list[Value]) -> list[Value]:
        """The results of an operation on constants."""
        arrays = [
            np.broadcast_to(value.constant, array_of(variable).shape)
            for value, variable in zip(inputs, equation.invars, strict=True)
        ]
        results = equation.primitive.bind(*map(jax.numpy.asarray, arrays), **equation.params)
        several = equation.primitive.multiple_results
        return [constant(result) for result in (results if several else [results])]

    def _unrolled(self, equation: JaxprEqn, inputs: list[Value]) -> list[Value]:
        """A scan as its steps one after another."""
        params = equation.params
        body, length = params["jaxpr"], params["length"]
        if "ft_in" in params:  # jax 0.12
            kept, carried = (len(part.vals) for part in params["ft_in"].unpack()[:2])
        else:
            kept, carried = params["num_consts"], params["num_carry"]
        constants, carry = inputs[:kept], inputs[kept : kept + carried]
        rows: list[list[Value]] = []
        steps = range(length)
        for step in reversed(steps) if params["reverse"] else steps:
            now = [self._row(value, step) for value in inputs[kept + carried :]]
            results = self._inlined(body, [*constants, *carry, *now])
            carry = results[:carried]
            rows.append(results[carried:])
        if params["reverse"]:
            rows.reverse()
        columns = zip(equation.outvars[carried:], zip(*rows, strict=True), strict=True)
        return [
            *carry,
            *(self._stacked(column, array_of(variable).shape) for variable, column in columns),
        ]

    def _row(self, value: Value, step: int) -> Value:
        if value.array is not None:
            return constant(value.array[step])
        return self.add(
            "Gather", [value, constant(np.int64(step))], value.shape[1:], value.dtype, axis=0
        )

    def _stacked(self, column: Sequence[Value], shape: Sequence[Any]) -> Value:
        rows = [self.reshaped(self.whole(one, shape[1:]), (1, *shape[1:])) for one in column]
        return self.add("Concat", rows, shape, rows[0].dtype, axis=0)


def array_of(variable: Any) -> Any:
    """Shape and type of a variable of the trace."""
    return variable.aval


def is_known(size: Any) -> bool:
    """Whether a size of the trace is a number."""
    return isinstance(size, int | np.integer)


def constant(array: Any) -> Value:
    """The value of an array that depends on nothing."""
    array = np.asarray(array)
    return Value(array.shape, array.dtype, array)
