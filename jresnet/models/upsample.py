"""Ways to a higher resolution, at any rank: interpolation, repetition, shuffles, transposed convolution."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax

from jresnet.models.layers import Dtype, Initializer, Shape, convolve, he_normal, per_axis

Array = jax.Array


def resize(x: Array, size: Sequence[int], *, align_corners: bool = False) -> Array:
    """Linear interpolation of `[batch, *spatial, channels]` to `[batch, *size, channels]`.

    As torch's `interpolate`, without antialiasing: the centres of the outermost pixels coincide with
    `align_corners`, else the borders do. Computed in float32 or wider, given back in `x`'s dtype.
    """
    rank = x.ndim - 2
    if len(size) != rank:
        raise ValueError(f"size={tuple(size)}: expected {rank} entries, one a spatial axis")
    if tuple(size) == x.shape[1:-1]:
        return x
    shape = (x.shape[0], *size, x.shape[-1])
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if not align_corners:
        return jax.image.resize(wide, shape, "linear", antialias=False).astype(x.dtype)
    scale = [max(n - 1, 1) / max(m - 1, 1) for m, n in zip(x.shape[1:-1], size, strict=True)]
    scale = jnp.asarray(scale, wide.dtype)
    # An output at `i` reads its input at `(i + 0.5 - translation) / scale - 0.5`, here `i / scale`.
    resized = jax.image.scale_and_translate(
        wide, shape, range(1, rank + 1), scale, 0.5 - 0.5 * scale, "linear", antialias=False
    )
    return resized.astype(x.dtype)


def repeat(x: Array, factors: Shape = 2) -> Array:
    """Every position `factors` times along each spatial axis: nearest-neighbour upsampling."""
    for axis, factor in enumerate(per_axis(factors, x.ndim - 2), 1):
        x = jnp.repeat(x, factor, axis)
    return x


def enlarge(x: Array, factor: int, kind: Literal["bilinear", "bicubic"] = "bilinear") -> Array:
    """`[batch, *spatial, channels]` `factor` times as large, the pixels at its edges continued.

    Bicubic with the coefficient -0.5, as MATLAB and Pillow have it. Float32 or wider.
    """
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if factor == 1:
        return wide
    rank, edge = x.ndim - 2, 3
    padded = jnp.pad(wide, [(0, 0), *[(edge, edge)] * rank, (0, 0)], mode="edge")
    sizes = [factor * n for n in padded.shape[1:-1]]
    method = "linear" if kind == "bilinear" else "cubic"
    y = jax.image.resize(padded, (x.shape[0], *sizes, x.shape[-1]), method, antialias=False)
    cut = slice(edge * factor, -edge * factor)
    return y[(slice(None), *[cut] * rank)]


def pixel_shuffle(x: Array, factor: int) -> Array:
    """`[batch, *spatial, channels * factor ** rank]` to `[batch, *(spatial * factor), channels]`.

    Shi et al. 2016 (arXiv:1609.05158). Channels in torch's order: those of one output channel lie
    together, the last axis of the image the fastest among them.
    """
    rank = x.ndim - 2
    channels, rest = divmod(x.shape[-1], factor**rank)
    if rest:
        raise ValueError(f"{x.shape[-1]} channels: expected a multiple of {factor**rank}")
    y = x.reshape(*x.shape[:-1], channels, *(factor,) * rank)
    # [batch, *spatial, channels, *factors]: each spatial axis next to its factor.
    axes = [0, *(a for i in range(rank) for a in (1 + i, 2 + rank + i)), 1 + rank]
    return y.transpose(axes).reshape(x.shape[0], *(factor * n for n in x.shape[1:-1]), channels)


class ConvTranspose(nn.Module):
    """Transposed convolution whose kernel is as large as its strides, so that nothing overlaps.

    `[batch, *spatial, in]` to `[batch, *(spatial * strides), features]`: each position becomes a
    block of `strides` positions, one matrix product for all. The kernel is `[*strides, in, features]`.
    """

    features: int
    strides: Shape = 2
    use_bias: bool = True
    dtype: Dtype | None = None
    kernel_init: Initializer = he_normal

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rank = x.ndim - 2
        strides = per_axis(self.strides, rank)
        shape = (*strides, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        matrix = jnp.moveaxis(kernel, -2, 0).reshape((1,) * rank + (x.shape[-1], -1))
        ones = (1,) * rank
        y = convolve(x, matrix, ones, ((0, 0),) * rank, ones)
        y = y.reshape(*x.shape[:-1], *strides, self.features)
        # [batch, *spatial, *strides, features]: each spatial axis next to its stride.
        axes = [0, *(a for i in range(rank) for a in (1 + i, 1 + rank + i)), 1 + 2 * rank]
        sizes = [n * s for n, s in zip(x.shape[1:-1], strides, strict=True)]
        y = y.transpose(axes).reshape(x.shape[0], *sizes, self.features)
        return y if bias is None else y + lax.broadcast_to_rank(bias, y.ndim)
