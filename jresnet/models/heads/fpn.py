"""Feature pyramid (Lin et al., arXiv:1612.03144) over the features of any backbone."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.heads.maps import ConvNormAct, Features
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part
from jresnet.models.resnet import one_a_resolution

Array = jax.Array

# A convolution with a bias and no norm, as the first detectors have it.
BIASED = part(ConvNormAct, conv=part(Conv, use_bias=True), norm=part(NoNorm))


def linear(x: Array) -> Array:
    """The identity, where an activation would stand."""
    return x


class FPN(nn.Module):
    """`{"stage1": [batch, rows, columns, channels], ...}` to a list of maps, from fine to coarse.

    Each has `features` channels: a 1x1 convolution of the backbone's feature, plus the next coarser
    map repeated to its size, then a 3x3. The last map is every second position of the one before.

    `names` are those of the features, from fine to coarse; by default the last stage of each
    resolution. `layer` builds the convolutions, `ConvNormAct` or a part of it, without activation.
    """

    features: int = 256
    names: tuple[str, ...] | None = None
    layer: ModuleDef = BIASED

    @nn.compact
    def __call__(self, features: Features, *, train: bool) -> list[Array]:
        """Raises ValueError for a name that the backbone lacks."""
        names = self.names or pyramid_names(features)
        if strange := [name for name in names if name not in features]:
            raise ValueError(f"names={strange}: expected some of {', '.join(features)}")
        layer = part(self.layer, act=linear)
        maps: list[Array] = []
        x = None
        for number, name in reversed(list(enumerate(names, 1))):
            lateral = layer(self.features, 1, name=f"inner{number}")(features[name], train=train)
            x = lateral if x is None else lateral + nearest(x, lateral.shape[1:3])
            maps.insert(0, layer(self.features, 3, name=f"layer{number}")(x, train=train))
        return [*maps, maps[-1][:, ::2, ::2]]


def pyramid_names(features: Features) -> tuple[str, ...]:
    """The last stage of each resolution, from fine to coarse."""
    stages = {name: x for name, x in features.items() if name.startswith("stage")}
    numbered = dict(sorted(stages.items(), key=lambda item: int(item[0].removeprefix("stage"))))
    return tuple(one_a_resolution(numbered))


def nearest(x: Array, size: tuple[int, ...]) -> Array:
    """`[batch, rows, columns, channels]` at `size`, each position that of the cell it lies in."""
    for axis, n in enumerate(size, 1):
        if x.shape[axis] != n:
            x = jnp.take(x, jnp.arange(n) * x.shape[axis] // n, axis)
    return x
