"""Normalisation of any rank, over the batch, groups of channels, or none."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jresnet.models import cpu

Array = jax.Array
Dtype = Any
Initializer = Callable[..., Array]


class BatchNorm(nn.Module):
    """Batch normalisation over the batch or over groups of it (Ioffe & Szegedy, arXiv:1502.03167).

    `group=None` takes the statistics of the whole batch, whatever the number of devices;
    `group=32` those of 32 consecutive examples, as the papers did with 32 a device (Goyal et al.,
    arXiv:1706.02677, section 2.3). Either is a property of the net and not of the machine: under
    `jit` the batch is reshaped to `[groups, group, ...]`, and no axis name is involved.

    `momentum` and `epsilon` mean what torch's defaults mean (`0.9` here is torch's `0.1`). As in
    torch and unlike `flax.linen.BatchNorm`, the running variance is the unbiased one. With groups
    the running statistics are the means of the groups' statistics. Statistics are float32 (float64
    for float64 input), the output has `dtype`.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    group: int | None = None
    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones
    fast_variance: bool = True  # E[x^2] - E[x]^2, one pass; False takes two and loses no digits

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", self.scale_init, channels, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)

        if not train:
            mean, var = running_mean.value, running_var.value
            return normalised(x, mean, var, scale, bias, self.epsilon, self.dtype, cpu.taken())
        group = x.shape[0] if self.group is None else self.group
        if group < 1 or x.shape[0] % group:
            raise ValueError(f"batch of {x.shape[0]} is not a multiple of BatchNorm group {group}")
        if group * math.prod(x.shape[1:-1]) == 1 and not self.is_initializing():
            # As torch: of one value the mean is the value, and all that follows would be zero.
            raise ValueError(
                f"BatchNorm of {x.shape} has one value a channel: expected a batch of two or more, "
                "a larger image, or another norm"
            )
        options = (group, self.epsilon, self.dtype, self.fast_variance, cpu.taken())
        y, mean, var = normalised_by_batch(x, scale, bias, *options)
        if not self.is_initializing():
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * var
        return y


class FrozenBatchNorm(nn.Module):
    """BatchNorm of which nothing trains, for detectors on a trained backbone.

    Statistics, scale and bias all lie in `batch_stats`, under the names that `BatchNorm` has: none
    is a parameter, and none changes. Weights of a net with `BatchNorm` load. `scale_init` is
    accepted and not used: a frozen scale of zero would silence its branch for good.
    """

    epsilon: float = 1e-5
    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        del train
        starts = {"mean": jnp.zeros, "var": jnp.ones, "scale": jnp.ones, "bias": jnp.zeros}
        mean, var, scale, bias = (
            self.variable("batch_stats", name, start, x.shape[-1:], jnp.float32).value
            for name, start in starts.items()
        )
        return normalised(x, mean, var, scale, bias, self.epsilon, self.dtype, cpu.taken())


# jitted by themselves because a net normalises the same shapes again and again: they are traced and
# differentiated once each, and XLA puts them in place before it optimises. `forms` tells apart
# what `cpu` writes in two ways.
@functools.partial(jax.jit, static_argnums=range(3, 8))
def normalised_by_batch(
    x: Array,
    scale: Array,
    bias: Array,
    group: int,
    epsilon: float,
    dtype: Dtype | None,
    fast_variance: bool,
    forms: frozenset[str],
) -> tuple[Array, Array, Array]:
    """`x` normalised by its own statistics, and these: means and unbiased variances `[channels]`.

    With several groups they are the means over the groups.
    """
    grouped = x.reshape(x.shape[0] // group, group, *x.shape[1:])
    mean, var = moments(grouped, fast_variance)
    count = grouped[0, ..., 0].size
    y = normalised(grouped, mean, var, scale, bias, epsilon, dtype, forms).reshape(x.shape)
    unbiased = var * (count / max(count - 1, 1))
    means = [batch.reshape(-1, x.shape[-1]).mean(0) for batch in (mean, unbiased)]
    return y, means[0], means[1]


@functools.partial(jax.jit, static_argnums=range(5, 8))
def normalised(
    x: Array,
    mean: Array,
    var: Array,
    scale: Array,
    bias: Array,
    epsilon: float,
    dtype: Dtype | None,
    forms: frozenset[str],
) -> Array:
    """`x` by given statistics: `[channels]`, or `[groups, 1, ..., 1, channels]` of `x` itself."""
    del forms
    grouped = mean.ndim > 1
    mean, var, scale, bias = (lax.broadcast_to_rank(v, x.ndim) for v in (mean, var, scale, bias))
    multiplier = lax.rsqrt(var + epsilon) * scale
    if grouped:
        bias = jnp.broadcast_to(bias, mean.shape)
        mean, multiplier, bias = (cpu.spread_rows(v, x.shape) for v in (mean, multiplier, bias))
    y = (x.astype(mean.dtype) - mean) * multiplier + bias
    return y.astype(dtype or x.dtype)


def moments(x: Array, fast_variance: bool = True) -> tuple[Array, Array]:
    """Mean and biased variance of `[groups, ..., channels]` over all but the first and last axis.

    Both keep their axes: `[groups, 1, ..., 1, channels]`, float32 or wider.
    """
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = cpu.mean_rows(x)
    if not fast_variance:
        return mean, cpu.mean_rows(jnp.square(x - cpu.spread_rows(mean, x.shape)))
    # Rounding can take the difference below zero.
    return mean, jnp.maximum(cpu.mean_rows(jnp.square(x)) - jnp.square(mean), 0)


class GroupNorm(nn.Module):
    """Group normalisation (Wu & He, arXiv:1803.08494): 32 groups, the same in training and test."""

    groups: int = 32
    epsilon: float = 1e-5
    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        del train
        norm = nn.GroupNorm(
            self.groups, epsilon=self.epsilon, dtype=self.dtype, scale_init=self.scale_init
        )
        nn.share_scope(self, norm)
        return norm(x)


class InstanceNorm(nn.Module):
    """Instance normalisation (arXiv:1607.08022): each image's channels by themselves.

    `fast_variance` as in `BatchNorm`.
    """

    epsilon: float = 1e-5
    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones
    fast_variance: bool = True

    @nn.compact
    def __call__(
        self, x: Array, moments: tuple[Array, Array] | None = None, *, train: bool
    ) -> Array:
        """`moments`: mean and variance `[batch, channels]` to take instead of the image's."""
        del train
        scale = self.param("scale", self.scale_init, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        if moments is None:
            options = (1, self.epsilon, self.dtype, self.fast_variance, cpu.taken())
            return normalised_by_batch(x, scale, bias, *options)[0]
        mean, var = (v.reshape(len(x), *(1,) * (x.ndim - 1), x.shape[-1]) for v in moments)
        options = (self.epsilon, self.dtype, cpu.taken())
        return normalised(x[:, None], mean, var, scale, bias, *options)[:, 0]


class NoNorm(nn.Module):
    """The identity where a norm would stand, for nets that train without one."""

    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones

    def __call__(self, x: Array, *, train: bool) -> Array:
        del train
        return x
