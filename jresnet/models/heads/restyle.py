"""Nets that paint pictures anew: a head over a backbone that reduces the resolution and back."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.headed import backbone_of
from jresnet.models.heads.maps import Features
from jresnet.models.heads.upsample import UNIT, Values, small_normal
from jresnet.models.layers import Activation, Conv, Initializer, activate, per_axis
from jresnet.models.norms import InstanceNorm
from jresnet.models.upsample import repeat

Array = jax.Array


class RestyleHead(nn.Module):
    """Steps of repetition, convolution, norm and `act`, and a convolution to the picture's channels.

    Reads the backbone's last feature. Every step doubles the resolution and has one of `widths`
    channels: repetition before a convolution leaves no chequered pattern, as transposed
    convolutions do (Odena et al. 2016, distill.pub/2016/deconv-checkerboard).
    """

    channels: int = 3
    widths: tuple[int, ...] = (64, 32)
    kernel: int = 9
    conv: ModuleDef = Conv
    norm: ModuleDef = InstanceNorm
    act: Activation | ModuleDef = nn.relu
    last_init: Initializer = small_normal

    @nn.compact
    def __call__(self, features: Features, *, train: bool) -> Array:
        """`{..., last}`, `[batch, *spatial, width]`, to `[batch, *(spatial * 2 ** steps), channels]`."""
        x = features[list(features)[-1]]
        for number, width in enumerate(self.widths, 1):
            x = self.conv(width, 3, name=f"up{number}")(repeat(x, 2))
            x = self.norm(name=f"norm{number}")(x, train=train)
            x = activate(self.act, x, f"act{number}")
        return self.conv(self.channels, self.kernel, kernel_init=self.last_init, name="out")(x)


class Restyler(nn.Module):
    """A head on a backbone: pictures `[batch, H, W, channels]` in [0, 1] to others of the same size.

    Float32, not clipped. `head` builds a module `(features, train=...)`, such as a `RestyleHead`,
    that undoes the backbone's reduction. Sides that do not divide by it are continued by their
    mirror image, and the result is cut. The backbone reads `inputs` of the pixels, and the head
    gives `outputs` of them. `skip` builds a norm; the picture through it is added to what the head
    gives, so that a fresh net begins with the picture in other colours.
    """

    backbone: nn.Module
    head: ModuleDef
    channels: int = 3
    inputs: Values = UNIT
    outputs: Values = UNIT
    skip: ModuleDef | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> Array:
        sides = x.shape[1:-1]
        lacking = [(0, -side % self.reduction) for side in sides]
        x = jnp.pad(x, [(0, 0), *lacking, (0, 0)], "reflect") if any(map(any, lacking)) else x
        features = self.features(x, train=train, **backbone)
        y = self.head(channels=self.channels, name="head")(features, train=train)
        y = y.astype(jnp.promote_types(y.dtype, jnp.float32))
        if self.skip is not None:
            y = y + self.skip(name="skip")(x, train=train)
        y = self.outputs.pixels(y)
        return y[(slice(None), *(slice(side) for side in sides))]

    def features(self, x: Array, *, train: bool, **backbone: Any) -> Features:
        """The backbone's `{"stem", "stage1", ...}`: `model.apply(..., method="features")`."""
        call: Any = self.backbone
        return call(self.inputs.of_pixels(x), train=train, **backbone)

    @property
    def reduction(self) -> int:
        """How many times as small as the picture the backbone's last feature is along an axis."""
        body = backbone_of(self)
        steps = [max(per_axis(strides, 2)) for _, strides, _ in body.plan(2)]
        return body.stem_reduction(2) * math.prod(steps)

    @property
    def reach(self) -> int:
        """How many pixels around it a position of the output may depend on, norms left aside.

        For a backbone that is a `ResNet` whose strides are all in its stem, and a `RestyleHead`.
        """
        body = backbone_of(self)
        far, place = 0, 1
        for conv in body.stem(parent=None).convs:
            far += place * (max(per_axis(conv.kernel, 2)) // 2)
            place *= max(per_axis(conv.strides, 2))
        for depth, (branch, *_) in zip(body.depths, body.plan(2), strict=True):
            far += depth * sum(place * (max(per_axis(spec.kernel, 2)) // 2) for spec in branch)
        far += place - 1  # the places within one position of the last feature
        head = self.head(channels=self.channels, parent=None)
        for _ in head.widths:
            place //= 2
            far += place
        return far + head.kernel // 2


class Johnson(Restyler):
    """A `Restyler` of the form of arXiv:1603.08155 with instance norms, as in pytorch/examples."""
