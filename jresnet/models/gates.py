"""What stands at the end of a residual branch: attention over channels, SkipInit, drop-path."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn

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


def drop_path(x: Array, rate: Array | float, rng: Array) -> Array:
    """Zero each example's branch with probability `rate` (Huang et al., arXiv:1603.09382).

    Surviving branches are divided by `1 - rate`, so that the test net needs no rescaling.
    """
    kept = jax.random.bernoulli(rng, 1.0 - rate, (x.shape[0],) + (1,) * (x.ndim - 1))
    return jnp.where(kept, x / jnp.asarray(1.0 - rate, x.dtype), 0)
