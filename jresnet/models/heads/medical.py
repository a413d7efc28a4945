"""MedicalNet's head for volumes (Chen et al. 2019, arXiv:1904.00625)."""

from collections.abc import Sequence

import jax
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.heads.maps import HEAD_INIT, ConvNormAct, Features, Segmenter
from jresnet.models.layers import BatchNorm, Conv
from jresnet.models.upsample import ConvTranspose

Array = jax.Array


class MedicalHead(nn.Module):
    """A transposed convolution to twice the last feature's size, a 3x3x3, and a 1x1x1 without bias."""

    num_classes: int
    features: int = 32
    norm: ModuleDef = BatchNorm
    layer: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(self, features: Features, size: Sequence[int], *, train: bool) -> Array:
        del size
        x = list(features.values())[-1]
        x = ConvTranspose(self.features, 2, dtype=x.dtype, name="enlarge")(x)
        x = nn.relu(self.norm(name="norm")(x, train=train))
        x = self.layer(self.features, name="layer")(x, train=train)
        return Conv(self.num_classes, 1, kernel_init=HEAD_INIT, name="classes")(x)


class MedicalNet(Segmenter):
    """A `Segmenter` whose head is a `MedicalHead`."""
