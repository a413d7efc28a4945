"""A function of images as an ONNX model, and its check by onnxruntime."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnx
from onnx import helper

from jresnet.weights.onnx_graph import IR_VERSION, OPSET, Graph, Value, array_of, is_known
from jresnet.weights.onnx_operations import RULES

INPUT = "images"
LIMIT = 2**31 - 1  # bytes of a file in Protocol Buffers' format


def to_onnx(
    function: Callable[[jax.Array], Any], image: Sequence[int], batch: int | None = None
) -> onnx.ModelProto:
    """float32 images `[batch, *image]`, called `images`, to the function's arrays.

    `batch=None` leaves the number of images open. One array is called `output`, those of a dict by
    their keys. Raises `onnx_graph.UnsupportedError` for an operation without a counterpart, and
    ValueError for a model of more than 2 GB.
    """
    sizes = ", ".join(map(str, (batch or "batch", *image)))
    shape = tuple(jax.export.symbolic_shape(sizes))
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    traced = jax.jit(function).trace(images)
    graph = Graph(RULES)
    jaxpr = traced.jaxpr
    pixels = graph.input(INPUT, shape, np.dtype(np.float32))
    values = graph.run(jaxpr.jaxpr, jaxpr.consts, [pixels])
    outputs = []
    for name, value, variable in zip(
        _names(traced.out_info), values, jaxpr.jaxpr.outvars, strict=True
    ):
        whole = graph.whole(value, array_of(variable).shape)
        _call(graph, whole, name)
        outputs.append(_described(name, array_of(variable).shape, whole.dtype))
    if sum(len(tensor.raw_data) for tensor in graph.constants) > LIMIT:
        raise ValueError("its weights take more than the 2 GB of an ONNX file")
    described = _described(INPUT, shape, np.dtype(np.float32))
    whole_graph = helper.make_graph(graph.nodes, "jresnet", [described], outputs, graph.constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(whole_graph, opset_imports=[opset], producer_name="jresnet")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model


def _names(structure: Any) -> list[str]:
    leaves = jax.tree_util.tree_leaves_with_path(structure)
    return [
        jax.tree_util.keystr(path, simple=True, separator=".") or "output" for path, _ in leaves
    ]


def _call(graph: Graph, value: Value, name: str) -> None:
    graph.nodes.append(helper.make_node("Identity", [graph.named(value)], [name], name=name))


def _described(name: str, shape: Sequence[Any], dtype: np.dtype) -> onnx.ValueInfoProto:
    sizes = [size if is_known(size) else str(size) for size in shape]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), sizes)


def furthest(
    model: onnx.ModelProto, function: Callable[[jax.Array], Any], images: np.ndarray
) -> float:
    """By how much onnxruntime's outputs differ from the function's at most, per largest of them.

    Raises ValueError for outputs of other shapes.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    outputs = [np.asarray(one) for one in session.run(None, {INPUT: images})]
    expected = [np.asarray(one) for one in jax.tree.leaves(jax.jit(function)(images))]
    for one, other in zip(expected, outputs, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"an output of {other.shape}: expected {one.shape}")
    apart = [
        np.abs(one - other).max() / max(np.abs(one).max(), 1e-30)
        for one, other in zip(expected, outputs, strict=True)
    ]
    return float(np.max(apart))  # NaN if one is
