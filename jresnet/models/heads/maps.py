"""Nets that label every pixel: a head over the features of any backbone, and its map at full size."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.layers import Activation, BatchNorm, Conv, Shape, activate
from jresnet.models.upsample import resize

Array = jax.Array
Features = dict[str, Array]

HEAD_INIT = nn.initializers.normal(0.01)


class Segmenter(nn.Module):
    """A head on a backbone: `[batch, *spatial, channels]` to a label map's logits, float32.

    `head` and `auxiliary` build modules `(features, size, train=...)` from the dict of features, and
    the images' `[*spatial]`, to logits of any resolution, `[batch, *spatial', num_classes]`. These
    are interpolated to the images' own, `[batch, *spatial, num_classes]`. With `auxiliary` the
    output is `{"out", "aux"}`. A head with deep supervision
    gives a tuple, the finest first: then it is `{"out", "level1", ...}`, of which the levels keep
    their resolution. `align_corners` says how maps are interpolated, see `upsample.resize`.
    """

    backbone: nn.Module
    num_classes: int
    head: ModuleDef
    auxiliary: ModuleDef | None = None
    align_corners: bool = False

    @nn.compact
    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> Array | dict[str, Array]:
        features = self.features(x, train=train, **backbone)
        size = x.shape[1:-1]

        def full(logits: Array) -> Array:
            logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
            return resize(logits, size, align_corners=self.align_corners)

        logits = self.head(self.num_classes, name="head")(features, size, train=train)
        finest, *levels = logits if isinstance(logits, tuple) else (logits,)
        maps = {"out": full(finest)}
        maps |= {f"level{number}": level for number, level in enumerate(levels, 1)}
        if self.auxiliary is not None:
            auxiliary = self.auxiliary(self.num_classes, name="auxiliary")
            maps["aux"] = full(auxiliary(features, size, train=train))
        return maps if len(maps) > 1 else maps["out"]

    def features(self, x: Array, *, train: bool, **backbone: Any) -> Features:
        """The backbone's `{"stem", "stage1", ...}`: `model.apply(..., method="features")`."""
        call: Callable[..., Features] = self.backbone  # type: ignore[assignment]
        return call(x, train=train, **backbone)


class ConvNormAct(nn.Module):
    """A convolution, a norm and an activation; with `separable` one convolution a channel first."""

    features: int
    kernel: Shape = 3
    dilation: int = 1
    separable: bool = False
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    act: Activation | ModuleDef = nn.relu

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        kernel = self.kernel
        if self.separable:
            channels = x.shape[-1]
            x = self.conv(channels, kernel, 1, self.dilation, channels, name="depthwise")(x)
            kernel = 1
        dilation = 1 if self.separable else self.dilation
        x = self.conv(self.features, kernel, 1, dilation, name="conv")(x)
        return activate(self.act, self.norm(name="norm")(x, train=train), "act")


def to_classes(num_classes: int, kernel: Shape = 1, name: str = "classes") -> Conv:
    """The last convolution of a head."""
    return Conv(num_classes, kernel, use_bias=True, kernel_init=HEAD_INIT, name=name)


class FCNHead(nn.Module):
    """A 3x3 convolution to a quarter of the channels, dropout, and a 1x1 to the classes.

    Long et al. 2015 (arXiv:1411.4038) as torchvision has it; DeepLab's auxiliary head too. Reads
    `feature`, by default the backbone's last.
    """

    num_classes: int
    feature: str | None = None
    dropout: float = 0.1
    layer: ModuleDef = ConvNormAct

    @nn.compact
    def __call__(self, features: Features, size: Sequence[int], *, train: bool) -> Array:
        del size
        x = features[self.feature or list(features)[-1]]
        x = self.layer(x.shape[-1] // 4, name="layer")(x, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return to_classes(self.num_classes)(x)


class FCN(Segmenter):
    """A `Segmenter` whose head is an `FCNHead`."""
