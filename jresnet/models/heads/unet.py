"""U-Net's decoder (arXiv:1505.04597) over the features of any backbone, at any rank."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.features import feature_info
from jresnet.models.headed import backbone_of, folded_axes
from jresnet.models.heads.maps import ConvNormAct, Features, Segmenter, to_classes
from jresnet.models.layers import Shape
from jresnet.models.resnet import ResNet, one_a_resolution
from jresnet.models.upsample import ConvTranspose, pixel_shuffle, repeat

Array = jax.Array

CHANNELS = (256, 128, 64, 32, 16)


class UNetHead(nn.Module):
    """From the coarsest feature to the images' resolution: enlarge, join a feature, convolve.

    Each level joins the deepest feature of its resolution (`ResNet.before_pool` adds one). Where the
    backbone has none as large as the images, a last level joins nothing, or is left out if not
    `full`. Sizes that do not divide are cut to fit.

    `channels`, the coarsest level first, are those of the levels' convolutions; a net of fewer
    levels takes the last ones. None takes those of the joined feature. `transposed` enlarges by a
    transposed convolution to the channels of the joined feature, as nnU-Net does; otherwise every
    position is repeated. With `deep` (deep supervision) the result is a tuple of every level's
    logits, the finest first. `shuffle` is how many times as fine along each axis the last level's
    logits are: its last convolution has those of all places within a position, and they are laid
    side by side (arXiv:1609.05158), which costs less than a level more.
    """

    num_classes: int
    channels: tuple[int, ...] | None = CHANNELS
    convolutions: int = 2
    kernel: Shape = 3
    transposed: bool = False
    deep: bool = False
    full: bool = True
    shuffle: int = 1
    layer: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(
        self, features: Features, size: Sequence[int], *, train: bool
    ) -> Array | tuple[Array, ...]:
        """`size` is the images' `[*spatial]`. Raises ValueError for too few `channels` or levels."""
        x, *joined = list(one_a_resolution(features).values())[::-1]
        levels: list[Array | None] = [*joined]
        if self.full and (joined or [x])[-1].shape[1:-1] != tuple(size):
            levels.append(None)
        if not levels:
            raise ValueError(f"features of the resolution {x.shape[1:-1]} alone: expected several")
        channels = self.widths(levels)
        outputs = []
        for number, (level, width) in enumerate(zip(levels, channels, strict=True), 1):
            target = tuple(size) if level is None else level.shape[1:-1]
            x = self.enlarged(x, target, width if level is None else level.shape[-1], number)
            x = x if level is None else jnp.concatenate([x, level], -1)
            for turn in range(1, self.convolutions + 1):
                x = self.layer(width, name=f"level{number}_{turn}")(x, train=train)
            if self.deep or number == len(levels):
                factor = self.shuffle if number == len(levels) else 1
                name = f"classes{number}" if self.deep else "classes"
                classes = to_classes(self.num_classes * factor ** len(size), self.kernel, name)
                outputs.insert(0, cut(pixel_shuffle(classes(x), factor), size))
        return tuple(outputs) if self.deep else outputs[0]

    def widths(self, levels: list[Array | None]) -> Sequence[int]:
        """The channels of each level."""
        if self.channels is not None:
            if len(self.channels) < len(levels):
                raise ValueError(
                    f"channels={self.channels}: expected at least {len(levels)}, one a level"
                )
            return self.channels[len(self.channels) - len(levels) :]
        return [levels[-2 if x is None else i].shape[-1] for i, x in enumerate(levels)]  # type: ignore[union-attr]

    def enlarged(self, x: Array, size: Sequence[int], features: int, number: int) -> Array:
        """`x` at `size`, which is at most a whole multiple of its own."""
        factors = tuple(
            -(-large // small) for large, small in zip(size, x.shape[1:-1], strict=True)
        )
        if self.transposed:
            x = ConvTranspose(features, factors, dtype=x.dtype, name=f"enlarge{number}")(x)
        else:
            x = repeat(x, factors)
        return cut(x, size)


def cut(x: Array, size: Sequence[int]) -> Array:
    """The first positions of `[batch, *spatial, channels]`, at most `size` of them."""
    return x[(slice(None), *(slice(n) for n in size))]


class UNet(Segmenter):
    """A `Segmenter` whose head is a `UNetHead`.

    On a `ResNet` the number of levels, and so of parameters, is that of the backbone's strides.
    """

    def features(self, x: Array, *, train: bool, **backbone: Any) -> Features:
        """The backbone's features. Raises ValueError where images are too small for its strides."""
        features = super().features(x, train=train, **backbone)
        if isinstance(backbone_of(self), ResNet):
            rank = x.ndim - 2 - folded_axes(self)
            named = [one for one in feature_info(self, rank) if one.name in features]
            strides = list(dict.fromkeys(one.stride for one in named))
            if len({features[one.name].shape[1:-1] for one in named}) < len(strides):
                before = strides[-2]
                least = before + 1 if isinstance(before, int) else tuple(n + 1 for n in before)
                raise ValueError(
                    f"images of {x.shape[1:-1]}: expected a side of at least {least}, so that no "
                    "two levels of the U-Net have one resolution"
                )
        return features
