"""The end of a residual branch: attention over channels, SkipInit, drop-path."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jresnet.models.layers import Conv, Dtype, spatial_axes

Array = jax.Array


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation (Hu et al., arXiv:1709.01507): channels weighted by a two-layer net.

    The squeeze is `channels // reduction`, rounded to a multiple of 8 as timm does.
    """

    reduction: int = 16
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        squeezed = max(8, (channels // self.reduction + 4) // 8 * 8)
        y = x.mean(spatial_axes(x), keepdims=True)
        y = nn.relu(Conv(squeezed, 1, use_bias=True, dtype=self.dtype, name="squeeze")(y))
        y = Conv(channels, 1, use_bias=True, dtype=self.dtype, name="excite")(y)
        return x * nn.sigmoid(y)


class SelfGatedSqueezeExcite(SqueezeExcite):
    """S3D-G's self-gating (Xie et al. 2018, arXiv:1712.04851), then squeeze-and-excitation.

    Self-gating weights channels by the sigmoid of one dense layer, with a bias, of their means over
    time and space. Its kernel starts from a normal distribution, cut off, of deviation 0.01.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = x.mean(spatial_axes(x), keepdims=True)
        init = nn.initializers.truncated_normal(0.01)
        conv = Conv(
            x.shape[-1], 1, use_bias=True, kernel_init=init, dtype=self.dtype, name="self_gating"
        )
        return super().__call__(x * nn.sigmoid(conv(y)))


class EfficientChannelAttention(nn.Module):
    """ECA (Wang et al., arXiv:1910.03151): a 1-D convolution over the channels' means.

    Its kernel is the odd number nearest above `(log2(channels) + 1) / 2`, at least 3 (section 3.2).
    """

    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        half = int(abs(math.log2(x.shape[-1]) + 1) / 2)
        y = x.mean(spatial_axes(x))[..., None]  # [batch, channels, 1]: channels are the space
        y = Conv(1, max(half + 1 - half % 2, 3), dtype=self.dtype, name="conv")(y)[..., 0]
        return x * nn.sigmoid(y).reshape(x.shape[0], *(1,) * (x.ndim - 2), x.shape[-1])


class SkipInit(nn.Module):
    """One learned scalar on the branch, zero at first (De & Smith, arXiv:2002.10444)."""

    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return x * self.param("scale", nn.initializers.zeros, ()).astype(x.dtype)


class Scaled(nn.Module):
    """A constant on the branch: arXiv:1603.05027, table 1, constant scaling."""

    factor: float = 0.5
    dtype: Dtype | None = None

    def __call__(self, x: Array) -> Array:
        return x * jnp.asarray(self.factor, x.dtype)


class HighwayGate(nn.Module):
    """`g(s) y + (1 - g(s)) s` of a branch y and a shortcut s, `g` the sigmoid of a 1x1 convolution.

    Exclusive gating of arXiv:1603.05027, section 3.1, after arXiv:1507.06228; with
    `branch=False` the shortcut alone is gated: `y + (1 - g(s)) s`. `bias` is that of `g` at first.
    """

    bias: float = -6.0
    branch: bool = True
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, y: Array, skip: Array) -> Array:
        conv = Conv(skip.shape[-1], 1, dtype=self.dtype, name="conv")
        bias = self.param("bias", nn.initializers.constant(self.bias), skip.shape[-1:])
        bias = lax.broadcast_to_rank(bias.astype(skip.dtype), skip.ndim)
        gate = nn.sigmoid(conv(skip) + bias)
        return (gate * y if self.branch else y) + (1 - gate) * skip


def drop_path(x: Array, rate: Array | float, rng: Array) -> Array:
    """Zero each example's branch with probability `rate` (Huang et al., arXiv:1603.09382).

    Surviving branches are divided by `1 - rate`, so that the test net needs no rescaling.
    """
    kept = jax.random.bernoulli(rng, 1.0 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(kept, x / jnp.asarray(1.0 - rate, x.dtype), 0)
