"""Rewrites of operations that XLA:CPU runs faster, with the same values.

This is the only place in `models` that asks for the backend. Each form gives the values of the
plain one, to the bit or to rounding, and can be differentiated any number of times in either mode.
The plain one is traced where jax's default backend is another, and where `without` leaves a form
out. Leave out all of them to trace on a CPU for another platform, as `python -m jresnet export`
does. `experiments.benchmark --also forms` times each.

- `once`: an activation is computed once and kept. Its sum with the shortcut would otherwise be
  computed again wherever it is read, and in a residual net that is a chain through all blocks of
  a stage.
- `dots`: sums over batch and space, in BatchNorm and in its gradient, are products with ones;
  reductions over leading axes run on one lane.
- `products`: a 1x1 convolution is a matrix product, and so are both its gradients.
- `groups`: a grouped convolution is `CHUNKS` dense ones, or fewer of `WIDTH` channels, with zeros
  between the groups of each: the gradients of grouped ones have no fast form.
- `planes`: a convolution over three axes is a sum of ones over two, for there is no fast form of
  its gradients either.
- `steps`: a max-pool takes one axis after the other, so that its gradient is elementwise instead
  of a scatter.
- `onednn`: a convolution over two axes in float32, and its gradients, are computed by oneDNN
  (`jresnet.native`) instead of `products`, `groups` and `planes`, where `JRESNET_ONEDNN=1` asks for it and it
  can be built.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from jresnet.native import convolution as onednn
from jresnet.native import library

Array = jax.Array
Form = Literal["once", "dots", "products", "groups", "planes", "steps", "onednn"]
FORMS: tuple[Form, ...] = get_args(Form)
Pairs = Sequence[tuple[int, int]]
WIDTH = 32  # channels of a dense convolution below which it is no faster
CHUNKS = 8  # each takes time to compile
_left_out: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    "forms left out", default=frozenset()
)


def takes(form: Form) -> bool:
    """Whether what is traced now is for a CPU, and the form is there and not left out."""
    here = form not in _left_out.get() and jax.default_backend() == "cpu"
    return here and (form != "onednn" or library.ready())


def taken() -> frozenset[str]:
    """The forms that are taken now: an argument of what is jitted, to be traced anew for others."""
    return frozenset(form for form in FORMS if takes(form))


@contextlib.contextmanager
def without(*forms: Form) -> Iterator[None]:
    """Traces plain forms instead of `forms` (of all, if none is named) while the context lasts.

    What was jitted and traced before stays as it is.
    """
    token = _left_out.set(_left_out.get() | set(forms or FORMS))
    try:
        yield
    finally:
        _left_out.reset(token)


def once(x: Array) -> Array:
    """`x`, to be computed once.

    XLA:CPU fuses an operation of one argument, and its inputs too, into every reader, and computes
    it again in each; optimisation barriers are gone by then (jaxlib 0.10.2). An operation of two
    arguments that a convolution reads is kept instead: the larger of x and x - 1, which is x. (A
    subnormal number may become 0, as elsewhere in XLA:CPU.)
    """
    return _kept(x) if takes("once") and jnp.issubdtype(x.dtype, jnp.floating) else x


@jax.custom_jvp
def _kept(x: Array) -> Array:
    return jnp.maximum(x, x - 1)


@_kept.defjvp
def _kept_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _kept(primals[0]), tangents[0]


def mean_rows(x: Array) -> Array:
    """Mean of `[groups, ..., channels]` over all between: `[groups, 1, ..., 1, channels]`."""
    axes = tuple(range(1, x.ndim - 1))
    if not takes("dots"):
        return x.mean(axes, keepdims=True)
    groups, *between, channels = x.shape
    rows = math.prod(between)
    blocks = x.reshape(-1, _block(rows), channels)
    sums = _product(jnp.ones((blocks.shape[0], 1, blocks.shape[1]), x.dtype), blocks)
    mean = sums.reshape(groups, -1, channels).sum(1) / rows
    return mean.reshape(groups, *(1 for _ in axes), channels)


def spread_rows(x: Array, shape: Sequence[int]) -> Array:
    """`[groups, 1, ..., 1, channels]`, to stand beside an array of `shape`; its gradient is a sum
    over rows."""
    if not takes("dots"):
        return x
    groups, *between, channels = shape
    rows = math.prod(between)
    block = _block(rows)
    blocks = jnp.broadcast_to(
        x.reshape(groups, 1, 1, channels), (groups, rows // block, 1, channels)
    ).reshape(-1, 1, channels)
    return _product(jnp.ones((blocks.shape[0], block, 1), x.dtype), blocks).reshape(shape)


def _block(rows: int) -> int:
    """How many rows one product sums: it adds one after the other, and rounds each time."""
    return max(d for d in range(1, min(rows, 1024) + 1) if rows % d == 0)


def _product(a: Array, b: Array) -> Array:
    dimensions = (((2,), (1,)), ((0,), (0,)))
    return lax.dot_general(a, b, dimensions, precision=lax.Precision.HIGHEST)


def divided(
    convolve: Callable[..., Array],
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
) -> Array | None:
    """The result of `convolve` with these arguments by faster operations; None if there are none."""
    if takes("onednn"):
        where = tuple(strides), tuple((low, high) for low, high in padding), tuple(dilation)
        window = onednn.Window(*where, groups, _by_xla(convolve))
        y = onednn.convolve(x, kernel, window)
        if y is not None:
            return y
    bare = groups == 1 and not any(map(any, padding))
    if bare and all(n == 1 for n in kernel.shape[:-2]) and takes("products"):
        return _pointwise(x, kernel, strides)
    if groups > 1 and takes("groups"):
        dense = lambda x, kernel: convolve(x, kernel, strides, padding, dilation)  # noqa: E731
        return _in_chunks(dense, x, kernel, groups)
    if x.ndim == 5 and takes("planes"):
        return _in_planes(convolve, x, kernel, strides, padding, dilation)
    return None


@functools.cache
def _by_xla(convolve: Callable[..., Array]) -> Callable[..., Array]:
    """`convolve` in the other forms. Cached: the same function for the same convolution."""
    return without("onednn")(convolve)


def _pointwise(x: Array, kernel: Array, strides: Sequence[int]) -> Array:
    """The convolution of `[batch, *spatial, in]` with `kernel` `[1, ..., in, out]` and no padding."""
    if any(stride != 1 for stride in strides):
        x = x[(slice(None), *(slice(None, None, stride) for stride in strides))]
    rows = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[-2:])
    return rows.reshape(*x.shape[:-1], kernel.shape[-1])


def _in_chunks(
    dense: Callable[[Array, Array], Array], x: Array, kernel: Array, groups: int
) -> Array:
    """A grouped convolution as dense ones of some groups each.

    `x` is `[batch, *spatial, in]`, `kernel` `[*size, in / groups, out]`.
    """
    *size, inputs, outputs = kernel.shape
    wanted = max(WIDTH // min(inputs, outputs // groups), -(-groups // CHUNKS), 1)
    together = max(n for n in range(1, min(wanted, groups) + 1) if groups % n == 0)
    split = kernel.reshape(*size, inputs, groups // together, together, outputs // groups)
    # Kernels [chunk, *size, together * in, together * out], zero between one group and another.
    same_group = jnp.eye(together, dtype=kernel.dtype)
    blocks = jnp.einsum("...icgo,gh->c...higo", split, same_group)
    blocks = blocks.reshape(groups // together, *size, together * inputs, -1)
    parts = jnp.split(x, groups // together, -1)
    return jnp.concatenate([dense(part, k) for part, k in zip(parts, blocks, strict=True)], -1)


def _in_planes(
    convolve: Callable[..., Array],
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
) -> Array:
    """A convolution over three axes by convolutions over two.

    `x` is `[batch, frames, height, width, in]`, `kernel` `[depth, *size, in, out]`. A kernel of one
    pixel is a convolution along the frames, with all pixels in a row. Any other is a sum over its
    planes, each convolved with the frames that it sees.
    """
    depth, *size, _, features = kernel.shape
    batch, frames, *_, channels = x.shape
    if size == [1, 1] and not any(map(any, padding[1:])):
        x = x[:, :, :: strides[1], :: strides[2]]
        rows = x.reshape(batch, frames, -1, channels)
        along = ((strides[0], 1), (padding[0], (0, 0)), (dilation[0], 1))
        y = convolve(rows, kernel[:, 0], *along)
        return y.reshape(batch, y.shape[1], *x.shape[2:4], features)
    low, high = padding[0]
    count = (frames + low + high - dilation[0] * (depth - 1) - 1) // strides[0] + 1
    total: Any = 0
    for number, plane in enumerate(kernel):
        first = number * dilation[0] - low  # the frame that this plane sees of the first output
        last = first + strides[0] * (count - 1)
        whole, how = x, (strides[1:], padding[1:], dilation[1:])
        if strides[0] > 1:
            whole, first, last = _frames(x, first, last, strides[0]), 0, count - 1
        # Every plane convolves the whole of x, so that gradients keep x alone and no slices of it.
        y = convolve(whole.reshape(-1, *whole.shape[2:]), plane, *how)
        total = total + _frames(y.reshape(batch, -1, *y.shape[1:]), first, last)
    return total


def _frames(x: Array, first: int, last: int, stride: int = 1) -> Array:
    """Frames `first` to `last` of `[batch, frames, ...]`, those beyond either end as zeros."""
    ends = [(0, 0, 0), (-first, last + 1 - x.shape[1], 0), *[(0, 0, 0)] * (x.ndim - 2)]
    return lax.pad(x, jnp.zeros((), x.dtype), ends)[:, ::stride]


def max_pool(x: Array, window: Sequence[int], strides: Sequence[int]) -> Array:
    """Max-pooling of `[batch, *spatial, channels]`, padded already.

    The first of equal values in a window gets the gradient, as in torch.
    """
    axes = range(1, x.ndim - 1)
    for axis, width, stride in reversed(list(zip(axes, window, strides, strict=True))):
        last = (x.shape[axis] - width) // stride * stride
        y = lax.slice_in_dim(x, 0, last + 1, stride, axis)
        for shift in range(1, width):
            other = lax.slice_in_dim(x, shift, shift + last + 1, stride, axis)
            y = jnp.where((other > y) | jnp.isnan(other), other, y)
        x = y
    return x
