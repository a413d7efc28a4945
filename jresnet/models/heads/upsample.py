"""Nets that enlarge pictures: a head over a backbone that keeps the resolution."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from jresnet.models.block import ModuleDef
from jresnet.models.headed import backbone_of
from jresnet.models.heads.maps import Features
from jresnet.models.layers import Activation, Conv, Initializer, activate, he_normal
from jresnet.models.norms import NoNorm
from jresnet.models.upsample import enlarge, pixel_shuffle

Array = jax.Array

FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}  # steps of a head, by its scale
_FAN_IN = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def small_normal(key: Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """He-normal over the inputs, times 0.1: BasicSR's start of branches and last convolutions."""
    return 0.1 * _FAN_IN(key, tuple(shape), dtype)


@dataclasses.dataclass(frozen=True)
class Values:
    """The numbers by which a net knows pixels in [0, 1]: `(pixel - mean) * gain`.

    `mean` is one for each channel, or one for all.
    """

    mean: tuple[float, ...] = (0.0,)
    gain: float = 1.0

    def of_pixels(self, pixels: Array) -> Array:
        """`[..., channels]` in [0, 1] to the net's numbers."""
        return (pixels - self._mean(pixels)) * self.gain

    def pixels(self, values: Array) -> Array:
        """The inverse of `of_pixels`."""
        return values / self.gain + self._mean(values)

    def _mean(self, like: Array) -> Array:
        return lax.broadcast_to_rank(jnp.asarray(self.mean, like.dtype), like.ndim)


UNIT = Values()


class UpsampleHead(nn.Module):
    """Convolutions with pixel shuffle, and one to the picture's channels.

    Reads the backbone's last feature, which has the input's resolution; with `closing` first a
    convolution and norm, to which the stem's feature is added (the long skip of arXiv:1609.04802,
    figure 4). Each step of `FACTORS[scale]` is a convolution, a shuffle (Shi et al. 2016,
    arXiv:1609.05158) and `act`, if there is one. With `refine` another convolution and `act` follow.
    `kernel` is that of the last convolution, `last_init` starts it.
    """

    scale: int
    channels: int = 3
    closing: bool = True
    refine: bool = False
    kernel: int = 3
    act: Activation | ModuleDef | None = None
    conv: ModuleDef = Conv
    norm: ModuleDef = NoNorm
    last_init: Initializer = he_normal

    @nn.compact
    def __call__(self, features: Features, *, train: bool) -> Array:
        """`{"stem", ..., last}`, `[batch, *spatial, width]`, to `[batch, *(spatial * scale), channels]`."""
        x = features[list(features)[-1]]
        width = x.shape[-1]
        if self.closing:
            x = self.conv(width, 3, name="closing")(x)
            x = self.norm(name="norm")(x, train=train) + features["stem"]
        for number, factor in enumerate(FACTORS[self.scale], 1):
            inner = width * factor ** (x.ndim - 2)
            x = pixel_shuffle(self.conv(inner, 3, name=f"up{number}")(x), factor)
            x = x if self.act is None else activate(self.act, x, f"act{number}")
        if self.refine:
            x = self.conv(width, 3, name="refine")(x)
            x = x if self.act is None else activate(self.act, x, "act")
        return self.conv(self.channels, self.kernel, kernel_init=self.last_init, name="out")(x)

    @property
    def reach(self) -> float:
        """How far a position sees, in pixels of the input."""
        reach, place = float(self.closing), 1.0
        for factor in FACTORS[self.scale]:
            reach, place = reach + place, place / factor
        return reach + place * (self.refine + self.kernel // 2)


class Upscaler(nn.Module):
    """A head on a backbone: pictures `[batch, H, W, channels]` in [0, 1] to `scale` times their size.

    Float32, not clipped. `head` builds a module `(features, train=...)`, such as an `UpsampleHead`.
    `skip` adds the enlarged input itself. The backbone reads `inputs` of the pixels, and the head
    gives `outputs` of them.
    """

    backbone: nn.Module
    scale: int
    head: ModuleDef
    channels: int = 3
    skip: Literal["bilinear", "bicubic"] | None = None
    inputs: Values = UNIT
    outputs: Values = UNIT

    @nn.compact
    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> Array:
        features = self.features(x, train=train, **backbone)
        head = self.head(scale=self.scale, channels=self.channels, name="head")
        y = head(features, train=train)
        y = self.outputs.pixels(y.astype(jnp.promote_types(y.dtype, jnp.float32)))
        return y if self.skip is None else y + enlarge(x, self.scale, self.skip)

    def features(self, x: Array, *, train: bool, **backbone: Any) -> Features:
        """The backbone's `{"stem", "stage1", ...}`: `model.apply(..., method="features")`."""
        call: Any = self.backbone
        return call(self.inputs.of_pixels(x), train=train, **backbone)

    @property
    def reach(self) -> int:
        """How many pixels of the input around it a position of the output may depend on.

        For a backbone that is a `ResNet` without strides and dilation.
        """
        body = backbone_of(self)
        branches = [branch for branch, *_ in body.plan(2)]
        kernels = [conv.kernel for conv in body.stem(parent=None).convs]
        for depth, branch in zip(body.depths, branches, strict=True):
            kernels += [spec.kernel for spec in branch] * depth
        far = sum((kernel if isinstance(kernel, int) else max(kernel)) // 2 for kernel in kernels)
        head = self.head(scale=self.scale, channels=self.channels, parent=None)
        return max(math.ceil(far + head.reach), 0 if self.skip is None else 3)


class SRResNet(Upscaler):
    """An `Upscaler` with the long skip and activations of arXiv:1609.04802."""


class MSRResNet(Upscaler):
    """An `Upscaler` of BasicSR's form: no long skip, a refining convolution, the enlarged input added."""


class EDSR(Upscaler):
    """An `Upscaler` with the long skip and no activation outside of the blocks (arXiv:1707.02921)."""


class Discriminator(nn.Module):
    """SRGAN's judge of pictures: `[batch, H, W, channels]` in [0, 1] to a logit `[batch]`.

    Convolutions of `widths`, the second of each pair with stride 2, BatchNorm after all but the
    first, leaky ReLU of slope 0.2, then two dense layers (Ledig et al. 2017, arXiv:1609.04802,
    figure 4). Its parameters depend on the pictures' size. A larger logit is a more real picture.
    """

    widths: Sequence[int] = (64, 64, 128, 128, 256, 256, 512, 512)
    dense: int = 1024
    conv: ModuleDef = Conv
    norm: ModuleDef = NoNorm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        x = 2 * x - 1
        for number, width in enumerate(self.widths, 1):
            x = self.conv(width, 3, 2 - number % 2, use_bias=True, name=f"conv{number}")(x)
            x = x if number == 1 else self.norm(name=f"norm{number}")(x, train=train)
            x = nn.leaky_relu(x, 0.2)
        x = nn.leaky_relu(nn.Dense(self.dense, name="dense")(x.reshape(len(x), -1)), 0.2)
        return nn.Dense(1, name="head")(x)[:, 0]
