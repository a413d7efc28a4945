"""Convolution of any rank, normalisation, gates and pooling: the parts a block is built from.

Every layer takes `[batch, *spatial, channels]` and reads its rank from the input, so the same
code is 1-D, 2-D and 3-D. Padding is explicit and symmetric: `SAME` at stride 2 pads on one side
only, which is the most common reason that converted torch weights give other numbers.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from jresnet.models import cpu
from jresnet.models.part import is_module

Array = jax.Array
Dtype = Any
Initializer = Callable[..., Array]
Shape = int | tuple[int, ...]
Activation = Callable[[Array], Array]

CONVOLUTION = "convolution"  # the name of outputs that a rematerialisation policy may keep

# He et al. 2015 (arXiv:1502.01852), fan-out and Gaussian, as torchvision initialises its ResNets.
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def per_axis(value: Shape, rank: int) -> tuple[int, ...]:
    """`2` at rank 3 is `(2, 2, 2)`; a tuple stands as it is and must have `rank` entries."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank:
        raise ValueError(f"expected {rank} entries, one a spatial axis, got {values}")
    return values


def convolve(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    groups: int = 1,
    input_dilation: Sequence[int] | None = None,
) -> Array:
    """`[batch, *spatial, in] * [*kernel, in / groups, out]`, channels last at every rank."""
    if input_dilation is None:
        parts = cpu.divided(convolve, x, kernel, strides, padding, dilation, groups)
        if parts is not None:
            return parts
    spatial = "DHW"[-(x.ndim - 2) :]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        lhs_dilation=input_dilation,
        rhs_dilation=dilation,
        dimension_numbers=layout,
        feature_group_count=groups,
    )


class Conv(nn.Module):
    """Convolution of any rank with symmetric padding `dilation * (kernel - 1) // 2`.

    `[batch, *spatial, in]` to `[batch, *spatial', features]`. `transform` is applied to the kernel
    first (`standardise`); `method` computes the rest: stages that scan over blocks inject
    `scannable_convolve` (see `jresnet.models.scan`).
    """

    features: int
    kernel: Shape = 3
    strides: Shape = 1
    dilation: Shape = 1
    groups: int = 1
    use_bias: bool = False
    dtype: Dtype | None = None
    kernel_init: Initializer = he_normal
    transform: Callable[[Array], Array] | None = None
    method: Callable[..., Array] = convolve

    @nn.compact
    def __call__(self, x: Array) -> Array:
        rank = x.ndim - 2
        size, dilation = per_axis(self.kernel, rank), per_axis(self.dilation, rank)
        padding = tuple((d * (k - 1) // 2,) * 2 for k, d in zip(size, dilation, strict=True))
        shape = (*size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        kernel = kernel if self.transform is None else self.transform(kernel)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = self.method(x, kernel, per_axis(self.strides, rank), padding, dilation, self.groups)
        y = checkpoint_name(y, CONVOLUTION)
        return y if bias is None else y + lax.broadcast_to_rank(bias, y.ndim)


def activate(act: Activation | Callable[..., nn.Module], x: Array, name: str) -> Array:
    """`act(x)`; an activation with parameters, a module class or a `Part` of one, is called `name`."""
    function: Any = act(name=name) if is_module(act) else act  # type: ignore[call-arg]
    return cpu.once(function(x))


class PReLU(nn.Module):
    """`max(x, 0) + slope * min(x, 0)` with a slope for each channel (He et al. 2015, arXiv:1502.01852).

    `shared` has one slope for all channels, as torch's default.
    """

    start: float = 0.25
    shared: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        shape = () if self.shared else x.shape[-1:]
        slope = self.param("slope", nn.initializers.constant(self.start), shape, jnp.float32)
        slope = lax.broadcast_to_rank(slope.astype(x.dtype), x.ndim)
        return jnp.where(x >= 0, x, x * slope)


def standardise(kernel: Array, epsilon: float = 1e-8) -> Array:
    """Weight standardisation (Qiao et al., arXiv:1903.10520): each filter to mean 0, variance 1."""
    axes = tuple(range(kernel.ndim - 1))
    mean, var = kernel.mean(axes, keepdims=True), kernel.var(axes, keepdims=True)
    return (kernel - mean) * lax.rsqrt(var + epsilon)


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
        how = (group, self.epsilon, self.dtype, self.fast_variance, cpu.taken())
        y, mean, var = normalised_by_its_own(x, scale, bias, *how)
        if not self.is_initializing():
            keep = self.momentum
            running_mean.value = keep * running_mean.value + (1 - keep) * mean
            running_var.value = keep * running_var.value + (1 - keep) * var
        return y


# jitted by themselves because a net normalises the same shapes again and again: they are traced and
# differentiated once each, and XLA puts them in place before it optimises. `forms` tells apart
# what `cpu` writes in two ways.
@functools.partial(jax.jit, static_argnums=range(3, 8))
def normalised_by_its_own(
    x: Array,
    scale: Array,
    bias: Array,
    group: int,
    epsilon: float,
    dtype: Dtype | None,
    fast_variance: bool,
    forms: frozenset[str],
) -> tuple[Array, Array, Array]:
    """The output, and means over the groups of their means and unbiased variances, `[channels]`."""
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
    """With statistics `[channels]`, or `[groups, 1, ..., 1, channels]` of `x` itself."""
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


class NoNorm(nn.Module):
    """The identity where a norm would stand, for nets that train without one."""

    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones

    def __call__(self, x: Array, *, train: bool) -> Array:
        del train
        return x


def spatial_axes(x: Array) -> tuple[int, ...]:
    """The axes between batch and channels."""
    return tuple(range(1, x.ndim - 1))
