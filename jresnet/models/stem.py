"""The stem: the layers before the first stage."""

import dataclasses
from collections.abc import Callable

import jax
from flax import linen as nn

from jresnet.models.block import ModuleDef, Step
from jresnet.models.layers import Activation, BatchNorm, Conv, Shape, activate
from jresnet.models.pools import max_pool

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class StemConv:
    """One convolution of the stem."""

    features: int = 64
    kernel: Shape = 7
    strides: Shape = 2


class Stem(nn.Module):
    """Convolutions, each with norm and activation, and a pool that halves the image, or None.

    One convolution is `conv` with `norm`, several are `conv1, norm1, conv2, ...`. `bare` leaves
    the last norm and activation to the first pre-activation block. `steps` follow each
    convolution: SRResNet's stem has `("act",)`, EDSR's has none. `activation` takes the place of
    `act`, which is the net's.
    """

    convs: tuple[StemConv, ...] = (StemConv(),)
    pool: Callable[[Array], Array] | None = max_pool
    bare: bool = False
    steps: tuple[Step, ...] = ("norm", "act")
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    act: Activation | ModuleDef = nn.relu
    activation: Activation | ModuleDef | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        act = self.act if self.activation is None else self.activation
        for number, spec in enumerate(self.convs, 1):
            suffix = str(number) if len(self.convs) > 1 else ""
            x = self.conv(spec.features, spec.kernel, spec.strides, name=f"conv{suffix}")(x)
            for step in () if self.bare and number == len(self.convs) else self.steps:
                if step == "act":
                    x = activate(act, x, f"act{suffix}")
                else:
                    x = self.norm(name=f"norm{suffix}")(x, train=train)
        return x if self.pool is None else self.pool(x)
