"""Shortcuts, which run beside the residual branch.

A shortcut is called with the block's input, the number of output features and the block's
strides, and returns what is added to the branch, or None for nothing. Strides and channel counts
alone decide whether it has parameters, never the spatial size.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.layers import BatchNorm, Conv, Shape, per_axis
from jresnet.models.pools import average_pool, every

Array = jax.Array


def changes_shape(x: Array, features: int, strides: Shape) -> bool:
    """Whether a block from `x` to `features` channels at `strides` has no identity shortcut."""
    return x.shape[-1] != features or any(s != 1 for s in per_axis(strides, x.ndim - 2))


def subsample(x: Array, strides: Shape) -> Array:
    """Every `strides`-th position along each spatial axis."""
    return every(x, per_axis(strides, x.ndim - 2))


class Shortcut(nn.Module):
    """The fields that a block sets on every shortcut."""

    conv: Callable[..., nn.Module] = Conv
    norm: Callable[..., nn.Module] = BatchNorm

    def projects(self, x: Array, features: int, strides: Shape) -> bool:
        """Whether it will read a pre-activation block's first norm and activation.

        A projection does (arXiv:1603.05027, appendix), whatever keeps the identity does not.
        """
        del x, features, strides
        return False


class Projection(Shortcut):
    """Identity, or a strided 1x1 convolution and norm where the shape changes.

    Option B of He et al. 2015 (arXiv:1512.03385, section 3.3); with `always` option C, the
    "1x1 conv shortcut" of arXiv:1603.05027, table 1. `bare` leaves the norm out, as Wide ResNets
    do (arXiv:1605.07146). `pool` averages before an unstrided convolution: ResNet-D
    (arXiv:1812.01187, figure 2c).
    """

    always: bool = False
    bare: bool = False
    pool: bool = False

    def projects(self, x: Array, features: int, strides: Shape) -> bool:
        return self.always or changes_shape(x, features, strides)

    @nn.compact
    def __call__(self, x: Array, features: int, strides: Shape, *, train: bool) -> Array:
        if not self.projects(x, features, strides):
            return x
        if self.pool and any(s != 1 for s in per_axis(strides, x.ndim - 2)):
            x, strides = average_pool(x, strides), 1
        y = self.conv(features, 1, strides, name="conv")(x)
        return y if self.bare else self.norm(name="norm")(y, train=train)


class ZeroPad(Shortcut):
    """Identity; where the shape changes, subsampled and padded with zero channels: no parameters.

    Option A of He et al. 2015 (section 3.3). The paper does not say on which side; half of the
    zeros go on either side, as in the widely used CIFAR reproductions. With `trailing` all of them
    come after the channels, as in MedicalNet.
    """

    trailing: bool = False

    def __call__(self, x: Array, features: int, strides: Shape, *, train: bool) -> Array:
        del train
        missing = features - x.shape[-1]
        if missing < 0:
            raise ValueError(f"ZeroPad cannot shrink {x.shape[-1]} channels to {features}")
        before = 0 if self.trailing else missing // 2
        channels = (before, missing - before)
        return jnp.pad(subsample(x, strides), [(0, 0)] * (x.ndim - 1) + [channels])


class IdentityOnly(Shortcut):
    """Identity where the shape stays, nothing where it changes."""

    def __call__(self, x: Array, features: int, strides: Shape, *, train: bool) -> Array | None:
        del train
        return None if changes_shape(x, features, strides) else x


class ScaledIdentity(Shortcut):
    """`scale * x`, and a zero-padded `scale * x` where the shape changes.

    Constant scaling of arXiv:1603.05027, section 3.1: the signal decays as `scale ** blocks`.
    """

    scale: float = 0.5

    @nn.compact
    def __call__(self, x: Array, features: int, strides: Shape, *, train: bool) -> Array:
        padded = ZeroPad(name="pad")(x, features, strides, train=train)
        return padded * jnp.asarray(self.scale, x.dtype)


class DropoutShortcut(Shortcut):
    """`ZeroPad` with dropout in training: arXiv:1603.05027, section 3.1."""

    rate: float = 0.5

    @nn.compact
    def __call__(self, x: Array, features: int, strides: Shape, *, train: bool) -> Array:
        padded = ZeroPad(name="pad")(x, features, strides, train=train)
        return nn.Dropout(self.rate, deterministic=not train)(padded)


class NoShortcut(Shortcut):
    """Nothing: the plain twin of a residual net."""

    def __call__(self, x: Array, features: int, strides: Shape, *, train: bool) -> None:
        del x, features, strides, train
