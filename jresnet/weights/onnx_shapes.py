"""The counterparts in ONNX of jax's operations that move numbers and compute none."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from jresnet.weights.onnx_graph import Graph, UnsupportedError, Value, array_of, constant


def shape_of(equation: JaxprEqn) -> tuple[Any, ...]:
    """The shape of an operation's result in the trace."""
    return array_of(equation.outvars[0]).shape


def dtype_of(equation: JaxprEqn) -> np.dtype:
    """The type of an operation's result."""
    return array_of(equation.outvars[0]).dtype


def broadcast_in_dim(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    """Axes of size 1 are put in; their true size comes when it is needed."""
    shape = shape_of(equation)
    placed = [1] * len(shape)
    for axis, size in zip(equation.params["broadcast_dimensions"], inputs[0].shape, strict=True):
        placed[axis] = size
    return graph.reshaped(inputs[0], placed)


def reshape(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    whole = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
    return graph.reshaped(whole, shape_of(equation))


def transpose(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    return permuted(graph, inputs[0], equation.params["permutation"])


def permuted(graph: Graph, value: Value, order: Sequence[int]) -> Value:
    """The same numbers with the axes in another order."""
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
    return graph.add("Concat", parts, shape_of(equation), dtype_of(equation), axis=axis)


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
    return graph.add("Slice", [value, *rest], shape_of(equation), value.dtype)


def reverse(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    axes = list(equation.params["dimensions"])
    value = graph.whole(inputs[0], shape_of(equation))
    numbers = [[-1] * len(axes), [np.iinfo(np.int64).min] * len(axes), axes, [-1] * len(axes)]
    rest = [graph.integers([int(n) for n in part]) for part in numbers]
    return graph.add("Slice", [value, *rest], shape_of(equation), value.dtype)


def pad(graph: Graph, equation: JaxprEqn, inputs: list[Value]) -> Value:
    low, high, inner = zip(*equation.params["padding_config"], strict=True)
    if any(inner) or min(*low, *high) < 0:
        raise UnsupportedError("padding between elements, or less than none")
    value = graph.whole(inputs[0], array_of(equation.invars[0]).shape)
    around = graph.integers([*low, *high])
    return graph.add("Pad", [value, around, inputs[1]], shape_of(equation), value.dtype)


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
    others = tuple(each for each in range(len(shape_of(equation))) if each not in indices)
    expected = [1 if each == axis else size for each, size in enumerate(whole)]
    rows = numbers.collapsed_slice_dims == axes == (axis,) and list(sizes) == expected
    if not rows or numbers.offset_dims != others:
        raise UnsupportedError("gather of more than rows along one axis")
    value = graph.whole(inputs[0], whole)
    within = constant(np.clip(places[..., 0], 0, whole[axis] - 1).astype(np.int64))
    return graph.add("Gather", [value, within], shape_of(equation), value.dtype, axis=axis)
