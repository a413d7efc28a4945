"""Fixup: residual nets that start as the identity and train without norms.

Zhang, Dauphin & Ma 2019 (arXiv:1901.09321, section 3 and appendix of its code). The parts are
injected into the one `Block`: the `init` of a branch's `ConvSpec`s scales its kernels,
`ScalarAffine` takes the place of a norm, and `ShiftedConv` adds the scalar before a convolution.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import Branch, ConvSpec
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, Dtype, Initializer, he_normal
from jresnet.models.part import part

Array = jax.Array
# The paper's: a tenth of the rate for every bias and multiplier.
RATES: tuple[tuple[str, float], ...] = ((r"(bias|scale)$", 0.1), (r".*", 1.0))


class ShiftedConv(Conv):
    """`conv(x + b)` with a scalar b, zero at first."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        bias = self.param("input_bias", nn.initializers.zeros, (), jnp.float32)
        conv = Conv(**{f.name: getattr(self, f.name) for f in _fields(self)})
        nn.share_scope(self, conv)
        return conv(x + bias.astype(x.dtype))


def _fields(module: nn.Module) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(module) if f.name not in ("parent", "name")]


class ScalarAffine(nn.Module):
    """Takes the place of a norm: a scalar bias, zero at first.

    After a branch, where the block sets how the scale starts, a scalar multiplier comes before it.
    """

    dtype: Dtype | None = None
    scale_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        del train
        if self.scale_init is not None:
            x = x * self.param("scale", self.scale_init, (), jnp.float32).astype(x.dtype)
        return x + self.param("bias", nn.initializers.zeros, (), jnp.float32).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class Scaled:
    """He's normal initialisation times `factor`."""

    factor: float

    def __call__(self, key: Array, shape: Any, dtype: Any = jnp.float32) -> Array:
        return self.factor * he_normal(key, shape, dtype)


def fixup(model: Classifier) -> Classifier:
    """A post-activation residual net initialised by Fixup instead of normalised.

    With L blocks of m convolutions: all but a branch's last start as He's times L^(-1/(2m-2)), the
    last ones and the head at zero, so that every block and thus the net's features start as those
    of the stem. Deviations: the head's scalar bias is left to its bias vector, and shortcuts read
    the block's input without the scalar that the first convolution adds. Raises ValueError for a
    pre-activation net, and for branches of one convolution.
    """
    backbone: Any = model.backbone
    if backbone.preactivation:
        raise ValueError("Fixup is written for post-activation nets")
    one = isinstance(backbone.branch[0], ConvSpec)
    branches: tuple[Branch, ...] = (backbone.branch,) if one else backbone.branch
    blocks = sum(backbone.depths)

    def scaled(branch: Branch) -> Branch:
        if len(branch) < 2:
            raise ValueError("Fixup scales branches of two convolutions or more")
        factor = blocks ** (-1 / (2 * len(branch) - 2))
        inner = (dataclasses.replace(spec, init=Scaled(factor)) for spec in branch[:-1])
        return (*inner, dataclasses.replace(branch[-1], init=nn.initializers.zeros))

    changed = tuple(scaled(branch) for branch in branches)
    return model.clone(
        head_init=nn.initializers.zeros,
        backbone=backbone.clone(
            branch=changed[0] if one else changed,
            conv=part(ShiftedConv),
            norm=part(ScalarAffine),
        ),
    )
