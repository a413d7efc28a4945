"""The counterparts in ONNX of jax's operations, as far as nets of images have them."""

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn
from onnx import helper

from jresnet.weights.onnx_graph import Graph, Rule, UnsupportedError, Value, array_of, constant
from jresnet.weights.onnx_shapes import (
    broadcast_in_dim,
    concatenate,
    cut,
    dtype_of,
    dynamic_cut,
    gather,
    pad,
    permuted,
    reshape,
    reverse,
    shape_of,
    transpose,
)


def elementwise(operator: str) -> Rule:
    """An operation on each element, which broadcasts as NumPy does."""

    def rule(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
        shape = _broadcast([value.shape for value in inputs])
        return graph.add(operator, inputs, shape, dtype_of(equation))

    return rule


def _broadcast(shapes: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    rank = max(map(len, shapes))
    full = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((s for s in sizes if s != 1), 1) for sizes in zip(*full, strict=True))


def same(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """An operation that changes no number."""
    del graph, equation
    return inputs[0]


def rsqrt(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    root = elementwise("Sqrt")(graph, equation, inputs)
    return elementwise("Reciprocal")(graph, equation, [root])


def square(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    return elementwise("Mul")(graph, equation, inputs * 2)


def integer_pow(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    power = constant(np.asarray(equation.params["y"], inputs[0].dtype))
    return elementwise("Pow")(graph, equation, [*inputs, power])


def not_equal(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    return elementwise("Not")(graph, equation, [elementwise("Equal")(graph, equation, inputs)])


def select(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    which, *cases = inputs
    if which.dtype != np.bool_ or len(cases) != 2:
        raise UnsupportedError("a choice among more than two arrays")
    return elementwise("Where")(graph, equation, [which, cases[1], cases[0]])


def cast(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    dtype = np.dtype(equation.params["new_dtype"])
    if dtype == inputs[0].dtype:
        return inputs[0]
    to = helper.np_dtype_to_tensor_dtype(dtype)
    return graph.add("Cast", inputs, inputs[0].shape, dtype, to=to)


def reduction(operator: str) -> Rule:
    """A sum or an extreme over axes."""

    def rule(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
        value = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
        axes = graph.integers(list(equation.params["axes"]))
        return graph.add(
            operator, [value, axes], shape_of(equation), dtype_of(equation), keepdims=0
        )

    return rule


def dot_general(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """A product of arrays, in Einstein's notation."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    pairs = zip(inputs, equation.invars, strict=True)
    one, other = (graph.whole(value, array_of(variable).shape) for value, variable in pairs)
    letters = iter(string.ascii_lowercase)
    first = [next(letters) for _ in one.shape]
    second = [next(letters) for _ in other.shape]
    for here, there in zip((*left, *left_batch), (*right, *right_batch), strict=True):
        second[there] = first[here]
    result = [first[axis] for axis in left_batch]
    result += [c for a, c in enumerate(first) if a not in (*left, *left_batch)]
    result += [c for a, c in enumerate(second) if a not in (*right, *right_batch)]
    text = f"{''.join(first)},{''.join(second)}->{''.join(result)}"
    shape, dtype = shape_of(equation), dtype_of(equation)
    if text in ("ab,bd->ad", "ab,bc->ac"):
        return graph.add("MatMul", [one, other], shape, dtype)
    return graph.add("Einsum", [one, other], shape, dtype, equation=text)


def convolution(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """`Conv` with channels first, between transpositions that a runtime takes away."""
    params = equation.params
    if set(params["lhs_dilation"]) - {1} or params["batch_group_count"] != 1:
        raise UnsupportedError("a transposed convolution")
    numbers = params["dimension_numbers"]
    images = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
    arguments = [permuted(graph, images, numbers.lhs_spec)]
    arguments.append(permuted(graph, inputs[1], numbers.rhs_spec))
    low, high = zip(*params["padding"], strict=True)
    shape = [shape_of(equation)[axis] for axis in numbers.out_spec]
    result = graph.add(
        "Conv", arguments, shape, dtype_of(equation), strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]), pads=[*low, *high],
        group=params["feature_group_count"],
    )  # fmt: skip
    return permuted(graph, result, np.argsort(numbers.out_spec).tolist())


def window(operator: str) -> Rule:
    """A maximum or a sum over windows of pixels, channels last."""

    def rule(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
        params = equation.params
        sizes, padding = params["window_dimensions"], params["padding"]
        dilated = {*params["base_dilation"], *params["window_dilation"]} - {1}
        if dilated or {sizes[0], sizes[-1]} != {1} or any((*padding[0], *padding[-1])):
            raise UnsupportedError("windows that are dilated, or over more than pixels")
        value = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
        rank = len(sizes)
        order = (0, rank - 1, *range(1, rank - 1))
        low, high = zip(*padding[1:-1], strict=True)
        fields: dict[str, Any] = {"count_include_pad": 1} if operator == "AveragePool" else {}
        shape = [shape_of(equation)[axis] for axis in order]
        result = graph.add(
            operator, [permuted(graph, value, order)], shape, value.dtype,
            kernel_shape=list(sizes[1:-1]), strides=list(params["window_strides"][1:-1]),
            pads=[*low, *high], **fields,
        )  # fmt: skip
        if operator == "AveragePool":
            count = constant(np.asarray(math.prod(sizes), value.dtype))
            result = graph.add("Mul", [result, count], shape, value.dtype)
        return permuted(graph, result, np.argsort(order).tolist())

    return rule


_ELEMENTWISE = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min",
    "neg": "Neg", "abs": "Abs", "sign": "Sign", "exp": "Exp", "log": "Log", "tanh": "Tanh",
    "logistic": "Sigmoid", "sqrt": "Sqrt", "erf": "Erf", "floor": "Floor", "pow": "Pow",
    "eq": "Equal", "lt": "Less", "gt": "Greater", "le": "LessOrEqual", "ge": "GreaterOrEqual",
    "and": "And", "or": "Or", "not": "Not",
}  # fmt: skip
RULES: dict[str, Rule] = {
    **{name: elementwise(operator) for name, operator in _ELEMENTWISE.items()},
    **dict.fromkeys(("name", "copy", "copy_p", "stop_gradient", "optimization_barrier"), same),
    "rsqrt": rsqrt,
    "square": square,
    "integer_pow": integer_pow,
    "ne": not_equal,
    "select_n": select,
    "convert_element_type": cast,
    "broadcast_in_dim": broadcast_in_dim,
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), reshape),
    "transpose": transpose,
    "concatenate": concatenate,
    "slice": cut,
    "dynamic_slice": dynamic_cut,
    "rev": reverse,
    "pad": pad,
    "gather": gather,
    "reduce_sum": reduction("ReduceSum"),
    "reduce_max": reduction("ReduceMax"),
    "reduce_min": reduction("ReduceMin"),
    "dot_general": dot_general,
    "conv_general_dilated": convolution,
    "reduce_window_max": window("MaxPool"),
    "reduce_window_sum": window("AveragePool"),
}
