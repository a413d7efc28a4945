"""Small nets with other heads than a classifier's, of each kind that the applications need."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models import zoo
from jresnet.models.block import BASIC, ConvSpec, Order
from jresnet.models.heads import Classifier
from jresnet.models.heads.maps import ConvNormAct, Segmenter
from jresnet.models.heads.medical import MedicalHead, MedicalNet
from jresnet.models.layers import BatchNorm, Conv, PReLU
from jresnet.models.part import part
from jresnet.models.resnet import ResNet, Stem, StemConv


class Unit(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    features: int
    kernel: int = 3
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Conv(self.features, self.kernel, dilation=self.dilation, name="conv")(x)
        return nn.relu(BatchNorm(name="norm")(x, train=train))


class MapHead(nn.Module):
    """torchvision's FCNHead."""

    features: int
    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Unit(self.features, name="unit")(x, train=train)
        return Conv(self.num_classes, 1, use_bias=True, name="logits")(x)


class Fcn(nn.Module):
    """Two outputs, each by a head of its own: `{"out", "aux"}`, `[batch, H, W, num_classes]`."""

    backbone: nn.Module
    num_classes: int = 21

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        call: Any = self.backbone
        *_, aux, last = call(x, train=train).values()
        heads = {"out": ("classifier", last), "aux": ("aux_classifier", aux)}
        outputs = {}
        for name, (head, features) in heads.items():
            width = features.shape[-1] // 4
            y = MapHead(width, self.num_classes, name=head)(features, train=train)
            y = y.astype(jnp.float32)
            shape = (*x.shape[:-1], self.num_classes)
            outputs[name] = jax.image.resize(y, shape, "bilinear")
        return outputs


class Face(nn.Module):
    """insightface's IResNet: a linear layer on the flattened map, and a norm."""

    backbone: nn.Module
    features: int = 512

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        call: Any = self.backbone
        y = list(call(x, train=train).values())[-1]
        y = nn.Dense(self.features, name="embedding")(y.reshape(y.shape[0], -1))
        return BatchNorm(name="features")(y, train=train)


class Upscaler(nn.Module):
    """A SRResNet of two blocks without norms: three numbers a position, no classes."""

    backbone: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        call: Any = self.backbone
        y = list(call(x, train=train).values())[-1]
        return Conv(x.shape[-1], use_bias=True, name="last")(y)


def backbone(**fields: Any) -> ResNet:
    """Two stages of basic blocks, 8 and 16 channels, after a stem that halves the image."""
    stem = part(Stem, convs=(StemConv(8, 3, 2),), pool=None)
    defaults = {"branch": BASIC, "widths": (8, 16), "strides": (1, 2), "stem": stem}
    return ResNet((2, 3), **(defaults | fields))


def u_net(num_classes: int = 3, **fields: Any) -> Segmenter:
    """The zoo's U-Net on two small stages."""
    return zoo.unet(Classifier(backbone(**fields), 1), num_classes, channels=(8, 8))


def volumes() -> Segmenter:
    """MedicalNet's head on two small stages."""
    layer = part(ConvNormAct)
    return MedicalNet(backbone(dilations=(1, 2)), 2, part(MedicalHead, layer=layer))


def face_backbone(*depths: int, widths: tuple[int, ...] = (64, 128, 256, 512)) -> ResNet:
    """IResNet: every stage strides in its second convolution; PReLU; norm-conv-norm-act-conv-norm."""
    return ResNet(
        depths,
        (ConvSpec(), ConvSpec(strided=True)),
        widths,
        (2,) * len(depths),
        stem=part(Stem, convs=(StemConv(widths[0], 3, 1),), pool=None),
        order=Order(first=("norm",), last=("norm",), sum=(), shared=False),
        act=part(PReLU),
    )


def upscaling_backbone(blocks: int = 2) -> ResNet:
    """SRResNet's body without norms: convolutions with a bias, no activation after the sum."""
    return ResNet(
        (blocks,),
        BASIC,
        (8,),
        (1,),
        stem=part(Stem, convs=(StemConv(8, 3, 1),), pool=None, steps=("act",)),
        conv=part(Conv, use_bias=True),
        order=Order(between=("act",), last=(), sum=()),
    )


# One of each kind, with the image that it takes.
NETS = {
    "two outputs": (Fcn(backbone(), 5), (16, 16, 3)),
    "decoder": (u_net(), (16, 16, 3)),
    "scanned decoder": (u_net(1, scan=True), (16, 16, 3)),
    "parametric activation": (Face(face_backbone(1, 2, widths=(8, 16)), 4), (8, 8, 3)),
    "volumes": (volumes(), (8, 8, 8, 1)),
    "without norms": (Upscaler(upscaling_backbone()), (8, 8, 3)),
}
