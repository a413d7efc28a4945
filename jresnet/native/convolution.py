"""Convolution over two axes as one operation of JAX that oneDNN computes on a CPU.

Its gradients are the same operation with other arguments: derivatives of any order, in either mode,
stay oneDNN's. Where a program is compiled for another platform or for several devices, and under
`vmap` over kernels, the operation is computed by the function that it stands for.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jresnet.native.library import TARGET

Array = jax.Array
Pass = Literal["forward", "input", "weight"]  # values, or the gradient for one of the two
PASSES: tuple[Pass, ...] = ("forward", "input", "weight")  # numbered as in plan.h


@dataclasses.dataclass(frozen=True)
class Window:
    """How a kernel moves over images, and the function that computes the same by XLA."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    plain: Callable[..., Array]

    def __call__(self, x: Array, kernel: Array) -> Array:
        """The convolution by XLA."""
        return self.plain(x, kernel, self.strides, self.padding, self.dilation, self.groups)

    def result(self, image: Sequence[int], kernel: Sequence[int]) -> tuple[int, ...]:
        """Shape of the results of `[batch, height, width, in]` by `[height, width, in, out]`."""
        sizes = (
            (n + low + high - d * (k - 1) - 1) // s + 1
            for n, (low, high), d, k, s in zip(
                image[1:3], self.padding, self.dilation, kernel[:2], self.strides, strict=True
            )
        )
        return (image[0], *sizes, kernel[3])


def convolve(x: Array, kernel: Array, window: Window) -> Array | None:
    """The convolution of `[batch, height, width, in]`; None where it is not oneDNN's to compute.

    oneDNN computes float32 over two axes, with nothing empty and no negative padding. Arrays with
    explicit shardings, or that vary over the axes of a `shard_map`, are left to XLA.
    """
    shapes = x.ndim == kernel.ndim == 4 and min(*x.shape, *kernel.shape) > 0
    if not shapes or not x.dtype == kernel.dtype == np.float32:
        return None
    shape = window.result(x.shape, kernel.shape)
    if min(shape) < 1 or min(min(ends) for ends in window.padding) < 0:
        return None
    types: list[Any] = [jax.typeof(array) for array in (x, kernel)]
    if any(any(kind.sharding.spec) or kind.manual_axis_type.varying for kind in types):
        return None
    return _convolution.bind(x, kernel, wanted="forward", shape=shape, window=window)


def by_xla(a: Array, b: Array, *, wanted: Pass, shape: tuple[int, ...], window: Window) -> Array:
    """A pass by the function that the convolution stands for.

    Args:
        a: images, or in the pass to the input results.
        b: the kernel, or in the pass to the weight results.
        wanted: which pass.
        shape: of what is computed.
        window: how the kernel moves.
    """
    if wanted == "forward":
        return window(a, b)
    # Linear: the point where the gradient is taken does not matter.
    at = jax.numpy.zeros(shape, a.dtype)
    if wanted == "input":
        return jax.vjp(lambda x: window(x, b), at)[1](a)[0]
    return jax.vjp(lambda kernel: window(a, kernel), at)[1](b)[0]


def by_onednn(a: Array, b: Array, *, wanted: Pass, shape: tuple[int, ...], window: Window) -> Array:
    """The same by oneDNN, with the same arguments."""
    low, high = zip(*window.padding, strict=True)
    pairs = {"strides": window.strides, "low": low, "high": high, "dilation": window.dilation}
    attributes: dict[str, Any] = {name: np.array(pair, np.int64) for name, pair in pairs.items()}
    attributes |= {"pass": PASSES.index(wanted), "groups": window.groups}
    return jax.ffi.ffi_call(TARGET, jax.ShapeDtypeStruct(shape, a.dtype))(a, b, **attributes)


@functools.partial(jax.jit, static_argnames=("wanted", "shape", "window"))
def _at_once(a: Array, b: Array, wanted: Pass, shape: tuple[int, ...], window: Window) -> Array:
    return _convolution.bind(a, b, wanted=wanted, shape=shape, window=window)


def _outside_of_jit(a: Array, b: Array, **how: Any) -> Array:
    with jax.disable_jit(False):
        return _at_once(a, b, **how)


def _lowered(context: mlir.LoweringRuleContext, *arguments: Any, **how: Any) -> Any:
    """oneDNN for one device: XLA cannot divide a call among several by itself."""
    axes: Any = context.module_context.axis_context
    alone = isinstance(axes, mlir.ShardingContext) and axes.num_devices == 1
    inside = isinstance(axes, mlir.SPMDAxisContext) and axes.manual_axes == frozenset(
        axes.mesh.axis_names
    )
    function = by_onednn if alone or inside else by_xla
    return mlir.lower_fun(function, multiple_results=False)(context, *arguments, **how)


def _for_first(cotangent: Array, a: Any, b: Array, *, wanted: Pass, shape: Any, window: Window):
    """The gradient for images, or in the pass to the input for results."""
    how = {"shape": a.aval.shape, "window": window}
    if wanted == "forward":
        return _convolution.bind(cotangent, b, wanted="input", **how)
    if wanted == "input":
        return _convolution.bind(cotangent, b, wanted="forward", **how)
    return _convolution.bind(b, cotangent, wanted="input", **how)


def _for_second(cotangent: Array, a: Array, b: Any, *, wanted: Pass, shape: Any, window: Window):
    """The gradient for the kernel, or in the pass to the weight for results."""
    how = {"shape": b.aval.shape, "window": window}
    if wanted == "forward":
        return _convolution.bind(a, cotangent, wanted="weight", **how)
    if wanted == "input":
        return _convolution.bind(cotangent, a, wanted="weight", **how)
    return _convolution.bind(a, cotangent, wanted="forward", **how)


def _batched(arrays: Sequence[Array], axes: Sequence[int | None], **how: Any) -> tuple[Array, int]:
    """Examples of one kernel are one larger batch; kernels that differ are XLA's to compute."""
    (a, b), (axis, other) = arrays, axes
    if axis is None or other is not None or how["wanted"] == "weight":
        return jax.vmap(functools.partial(by_xla, **how), axes)(a, b), 0
    a = jax.numpy.moveaxis(a, axis, 0)
    count, batch, *rest = a.shape
    how["shape"] = (count * batch, *how["shape"][1:])
    y = _convolution.bind(a.reshape(count * batch, *rest), b, **how)
    return y.reshape(count, batch, *y.shape[1:]), 0


_convolution = Primitive("onednn_convolution")
_convolution.def_impl(_outside_of_jit)
_convolution.def_abstract_eval(lambda a, b, *, shape, **_: a.update(shape=shape, weak_type=False))
ad.defbilinear(_convolution, _for_first, _for_second)
batching.primitive_batchers[_convolution] = _batched
mlir.register_lowering(_convolution, mlir.lower_fun(by_xla, multiple_results=False))
mlir.register_lowering(_convolution, _lowered, platform="cpu")
