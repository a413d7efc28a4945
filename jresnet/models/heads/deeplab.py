"""DeepLab's heads: v3 (arXiv:1706.05587) and v3+ (arXiv:1802.02611)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.heads.maps import ConvNormAct, Features, Segmenter, to_classes
from jresnet.models.layers import spatial_axes
from jresnet.models.part import part
from jresnet.models.pools import global_average_pool
from jresnet.models.upsample import resize

Array = jax.Array


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (arXiv:1706.05587, section 3.3).

    A 1x1 convolution, a dilated 3x3 for each of `rates`, and the mean of the whole map, side by
    side, then a 1x1 over all. The published rates (6, 12, 18) are for an output stride of 16, twice
    these for 8; torchvision takes (12, 24, 36) at a stride of 8.
    """

    rates: tuple[int, ...] = (12, 24, 36)
    features: int = 256
    dropout: float = 0.5
    separable: bool = False
    layer: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        branches = [self.layer(self.features, 1, name="branch1")(x, train=train)]
        for number, rate in enumerate(self.rates, 2):
            layer = self.layer(
                self.features, 3, rate, separable=self.separable, name=f"branch{number}"
            )
            branches.append(layer(x, train=train))
        mean = jnp.expand_dims(global_average_pool(x).astype(x.dtype), spatial_axes(x))
        mean = self.layer(self.features, 1, name="pooled")(mean, train=train)
        branches.append(jnp.broadcast_to(mean, branches[0].shape))
        x = self.layer(self.features, 1, name="project")(jnp.concatenate(branches, -1), train=train)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


class DeepLabHead(nn.Module):
    """ASPP on the backbone's last feature, a 3x3 convolution, and a 1x1 to the classes."""

    num_classes: int
    rates: tuple[int, ...] = (12, 24, 36)
    features: int = 256
    layer: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(self, features: Features, size: Sequence[int], *, train: bool) -> Array:
        del size
        x = list(features.values())[-1]
        x = ASPP(self.rates, self.features, layer=self.layer, name="aspp")(x, train=train)
        x = self.layer(self.features, name="layer")(x, train=train)
        return to_classes(self.num_classes)(x)


class DeepLabPlusHead(nn.Module):
    """ASPP, enlarged to the resolution of `detail`, joined with it, and a 1x1 to the classes.

    Deviation from arXiv:1802.02611, section 3.1, as in segmentation_models_pytorch: every 3x3 is
    separable, one of them follows ASPP, and one, not two, the join.
    """

    num_classes: int
    rates: tuple[int, ...] = (12, 24, 36)
    features: int = 256
    detail: str = "stage1"
    detail_features: int = 48
    layer: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(self, features: Features, size: Sequence[int], *, train: bool) -> Array:
        del size
        separable = part(self.layer, separable=True)
        x, detail = list(features.values())[-1], features[self.detail]
        aspp = ASPP(self.rates, self.features, separable=True, layer=self.layer, name="aspp")
        x = separable(self.features, name="layer")(aspp(x, train=train), train=train)
        x = resize(x, detail.shape[1:-1], align_corners=True)
        detail = self.layer(self.detail_features, 1, name="detail")(detail, train=train)
        joined = jnp.concatenate([x, detail], -1)
        x = separable(self.features, name="joined")(joined, train=train)
        return to_classes(self.num_classes)(x)


class DeepLabV3(Segmenter):
    """A `Segmenter` whose head is a `DeepLabHead`."""


class DeepLabV3Plus(Segmenter):
    """A `Segmenter` whose head is a `DeepLabPlusHead`."""
