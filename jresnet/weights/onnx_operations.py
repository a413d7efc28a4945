"""The counterparts in ONNX of jax's operations, as far as nets of images have them."""

import math
import string
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn
from onnx import helper

from jresnet.weights.onnx_graph import Graph, Rule, UnsupportedError, Value, array_of, constant


def _shape(equation: JaxprEqn) -> tuple[Any, ...]:
    return array_of(equation.outvars[0]).shape


def _dtype(equation: JaxprEqn) -> np.dtype:
    return array_of(equation.outvars[0]).dtype


def elementwise(operator: str) -> Rule:
    """An operation on each element, which broadcasts as NumPy does."""

    def rule(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
        shape = _broadcast([value.shape for value in inputs])
        return graph.add(operator, inputs, shape, _dtype(equation))

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


def broadcast_in_dim(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """Axes of size 1 are put in; their true size comes when it is needed."""
    shape = _shape(equation)
    placed = [1] * len(shape)
    for axis, size in zip(equation.params["broadcast_dimensions"], inputs[0].shape, strict=True):
        placed[axis] = size
    return graph.reshaped(inputs[0], placed)


def reshape(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    whole = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
    return graph.reshaped(whole, _shape(equation))


def transpose(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    return _permuted(graph, inputs[0], equation.params["permutation"])


def _permuted(graph: Graph, value: Value, order: Sequence[int]) -> Value:
    if tuple(order) == tuple(range(len(order))):
        return value
    if value.array is not None:
        return constant(np.transpose(value.array, order))
    shape = [value.shape[axis] for axis in order]
    return graph.add("Transpose", [value], shape, value.dtype, perm=list(order))


def concatenate(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    pairs = zip(inputs, equation.invars, strict=True)
    parts = [graph.whole(value, array_of(variable).shape) for value, variable in pairs]
    axis = equation.params["dimension"]
    return graph.add("Concat", parts, _shape(equation), _dtype(equation), axis=axis)


def cut(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    params = equation.params
    steps = params["strides"] or (1,) * len(params["start_indices"])
    return _slice(
        graph, equation, inputs[0], params["start_indices"], params["limit_indices"], steps
    )


def dynamic_cut(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """A slice whose start is known after all."""
    start = [int(value.constant) for value in inputs[1:]]
    return _piece(graph, equation, inputs[0], start, equation.params["slice_sizes"])


def _piece(
    graph: Graph, equation: JaxprEqn, value: Value, start: Sequence[int], sizes: Sequence[Any]
) -> Value:
    """So many elements along each axis from a start, which moves until they lie inside."""
    whole = array_of(equation.invars[0]).shape
    first = [
        0 if size == all_ else min(max(each, 0), all_ - size)
        for each, size, all_ in zip(start, sizes, whole, strict=True)
    ]
    last = [
        size if size == all_ else each + size
        for each, size, all_ in zip(first, sizes, whole, strict=True)
    ]
    return _slice(graph, equation, value, first, last, (1,) * len(first))


def _slice(
    graph: Graph, equation: JaxprEqn, value: Value, first: Sequence[Any], last: Sequence[Any],
    steps: Sequence[int],
) -> Value:  # fmt: skip
    whole = array_of(equation.invars[0]).shape
    value = graph.whole(value, whole)
    axes = [
        axis for axis, size in enumerate(whole)
        if (first[axis], last[axis], steps[axis]) != (0, size, 1)
    ]  # fmt: skip
    if not axes:
        return value
    numbers = [[part[axis] for axis in axes] for part in (first, last)]
    rest = [graph.integers(part) for part in (*numbers, axes, [steps[axis] for axis in axes])]
    return graph.add("Slice", [value, *rest], _shape(equation), value.dtype)


def reverse(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    axes = list(equation.params["dimensions"])
    value = graph.whole(inputs[0], _shape(equation))
    numbers = [[-1] * len(axes), [np.iinfo(np.int64).min] * len(axes), axes, [-1] * len(axes)]
    rest = [graph.integers([int(n) for n in part]) for part in numbers]
    return graph.add("Slice", [value, *rest], _shape(equation), value.dtype)


def pad(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    low, high, inner = zip(*equation.params["padding_config"], strict=True)
    if any(inner) or min(*low, *high) < 0:
        raise UnsupportedError("padding between elements, or less than none")
    value = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
    around = graph.integers([*low, *high])
    return graph.add("Pad", [value, around, inputs[1]], _shape(equation), value.dtype)


def gather(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """Rows along one axis at known places, or one piece."""
    params, places = equation.params, inputs[1].constant
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    axes, whole = numbers.start_index_map, array_of(equation.invars[0]).shape
    if places.ndim == 1 and not numbers.collapsed_slice_dims:
        start = dict(zip(axes, places.tolist(), strict=True))
        first = [start.get(axis, 0) for axis in range(len(whole))]
        return _piece(graph, equation, inputs[0], first, sizes)
    axis = axes[0]
    # The places stand in the result where the axis was.
    indices = range(axis, axis + places.ndim - 1)
    others = tuple(each for each in range(len(_shape(equation))) if each not in indices)
    expected = [1 if each == axis else size for each, size in enumerate(whole)]
    rows = numbers.collapsed_slice_dims == axes == (axis,) and list(sizes) == expected
    if not rows or numbers.offset_dims != others:
        raise UnsupportedError("gather of more than rows along one axis")
    value = graph.whole(inputs[0], whole)
    within = constant(np.clip(places[..., 0], 0, whole[axis] - 1).astype(np.int64))
    return graph.add("Gather", [value, within], _shape(equation), value.dtype, axis=axis)


def reduction(operator: str) -> Rule:
    """A sum or an extreme over axes."""

    def rule(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
        value = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
        axes = graph.integers(list(equation.params["axes"]))
        return graph.add(operator, [value, axes], _shape(equation), _dtype(equation), keepdims=0)

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
    shape, dtype = _shape(equation), _dtype(equation)
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
    arguments = [_permuted(graph, images, numbers.lhs_spec)]
    arguments.append(_permuted(graph, inputs[1], numbers.rhs_spec))
    low, high = zip(*params["padding"], strict=True)
    shape = [_shape(equation)[axis] for axis in numbers.out_spec]
    result = graph.add(
        "Conv", arguments, shape, _dtype(equation), strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]), pads=[*low, *high],
        group=params["feature_group_count"],
    )  # fmt: skip
    return _permuted(graph, result, np.argsort(numbers.out_spec).tolist())


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
        shape = [_shape(equation)[axis] for axis in order]
        result = graph.add(
            operator, [_permuted(graph, value, order)], shape, value.dtype,
            kernel_shape=list(sizes[1:-1]), strides=list(params["window_strides"][1:-1]),
            pads=[*low, *high], **fields,
        )  # fmt: skip
        if operator == "AveragePool":
            count = constant(np.asarray(math.prod(sizes), value.dtype))
            result = graph.add("Mul", [result, count], shape, value.dtype)
        return _permuted(graph, result, np.argsort(order).tolist())

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
