"""Pooling and anti-aliased downsampling, at any rank."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models import cpu
from jresnet.models.layers import Shape, per_axis, spatial_axes

Array = jax.Array


def max_pool(x: Array, window: Shape = 3, strides: Shape = 2) -> Array:
    """Max-pooling at any rank, padded by `window // 2` on both sides as in torch."""
    rank = x.ndim - 2
    window, strides = per_axis(window, rank), per_axis(strides, rank)
    border: Any = [(w // 2, w // 2) for w in window]  # flax's annotation knows only names
    if cpu.takes("steps"):
        return cpu.max_pool(_padded(x, border, -jnp.inf), window, strides)
    return nn.max_pool(x, window, strides, border)


def window_max(x: Array, strides: Shape = 2) -> Array:
    """Max over windows of `strides` that do not overlap; what is left at the border is dropped."""
    window = per_axis(strides, x.ndim - 2)
    if cpu.takes("steps"):
        return cpu.max_pool(x, window, window)
    return nn.max_pool(x, window, window)


def average_pool(x: Array, strides: Shape = 2) -> Array:
    """Mean over windows of `strides`; a window cut off at the border averages what it has.

    torch's `AvgPool2d(s, s, ceil_mode=True, count_include_pad=False)`.
    """
    window = per_axis(strides, x.ndim - 2)
    padding: Any = [(0, -n % w) for n, w in zip(x.shape[1:-1], window, strict=True)]
    # Counts that are all the same need no array, which XLA takes seconds to fold for a volume.
    whole = not any(after for _, after in padding)
    return nn.avg_pool(x, window, window, padding, count_include_pad=whole)


def global_average_pool(x: Array) -> Array:
    """`[batch, *spatial, channels]` to `[batch, channels]`, summed in float32 or wider."""
    return x.mean(spatial_axes(x), dtype=jnp.promote_types(x.dtype, jnp.float32))


def zero_padded_max_pool(x: Array) -> Array:
    """3x3/2 max-pooling over a border of zeros, as BiT does (arXiv:1912.11370, its code).

    It differs from `max_pool` where values are negative.
    """
    rank = x.ndim - 2
    window, strides = (3,) * rank, (2,) * rank
    padded = _padded(x, [(1, 1)] * rank, 0.0)
    if cpu.takes("steps"):
        return cpu.max_pool(padded, window, strides)
    return nn.max_pool(padded, window, strides, "VALID")


def _padded(x: Array, border: list[tuple[int, int]], value: float) -> Array:
    return jnp.pad(x, [(0, 0), *border, (0, 0)], constant_values=value)


def blur_pool(x: Array, strides: Shape = 2) -> Array:
    """Binomial 1-2-1 filter, then every `strides`-th position (Zhang, arXiv:1904.11486).

    The border is reflected, as in timm.
    """
    rank = x.ndim - 2
    for axis in spatial_axes(x):
        padding = [(1, 1) if i == axis else (0, 0) for i in range(x.ndim)]
        padded = jnp.pad(x, padding, mode="reflect")
        size = x.shape[axis]
        shifted = [jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(3)]
        x = (shifted[0] + 2 * shifted[1] + shifted[2]) / 4
    return every(x, per_axis(strides, rank))


def every(x: Array, steps: tuple[int, ...]) -> Array:
    """Every so many positions along each spatial axis."""
    # Indices would become a gather where the number of images is open, as in an exported net.
    return jax.lax.slice(x, (0,) * x.ndim, x.shape, (1, *steps, 1))


def max_blur_pool(x: Array) -> Array:
    """Unstrided max-pooling, then `blur_pool`: the anti-aliased stem (arXiv:1904.11486, section 3)."""
    return blur_pool(max_pool(x, 3, 1))
