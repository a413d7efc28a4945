"""Convolution of any rank and activations: with norms, the parts that a block is built from.

Every layer takes `[batch, *spatial, channels]` and reads its rank from the input, so the same
code is 1-D, 2-D and 3-D. Padding is explicit and symmetric: `SAME` at stride 2 pads on one side
only, which is the most common reason that converted torch weights give other numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from jresnet.models import cpu
from jresnet.models.norms import (
    BatchNorm,
    Dtype,
    FrozenBatchNorm,
    GroupNorm,
    Initializer,
    NoNorm,
)
from jresnet.models.part import is_module

Array = jax.Array
Shape = int | tuple[int, ...]
Activation = Callable[[Array], Array]

__all__ = [
    "CONVOLUTION", "Activation", "BatchNorm", "Conv", "Dtype", "FrozenBatchNorm",
    "GroupNorm", "Initializer", "NoNorm", "PReLU", "Shape", "activate", "convolve", "he_normal", "per_axis", "spatial_axes",
    "standardise",
]  # fmt: skip

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
    `scannable_convolve` (see `jresnet.models.scan`). Beyond the `border` lie zeros, or the mirror
    image of what is inside, whose edge is not repeated.
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
    border: Literal["zeros", "mirror"] = "zeros"

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
        if self.border == "mirror":
            x, padding = jnp.pad(x, [(0, 0), *padding, (0, 0)], "reflect"), ((0, 0),) * rank
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


def spatial_axes(x: Array) -> tuple[int, ...]:
    """The axes between batch and channels."""
    return tuple(range(1, x.ndim - 1))
