"""Nets for volumes `[batch, depth, height, width, channels]`: MedicalNet's, and nnU-Net's ResEnc."""

from typing import Any

from flax import linen as nn

from jresnet.models.block import BASIC
from jresnet.models.heads.medical import MedicalHead, MedicalNet
from jresnet.models.heads.unet import UNet, UNetHead
from jresnet.models.layers import Conv, Shape
from jresnet.models.norms import InstanceNorm
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.resnet import ResNet
from jresnet.models.shortcuts import Projection, ZeroPad
from jresnet.models.stem import Stem, StemConv
from jresnet.models.zoo.common import bottleneck
from jresnet.models.zoo.segmentation import layer_of

CHEN_2019 = "Chen et al. 2019, arXiv:1904.00625"
ISENSEE_2024 = "Isensee et al. 2024, arXiv:2404.09556"
VOLUME = (16, 32, 32, 1)
# MedicalNet pads its new channels with zeros at the end.
_SHORTCUT_A = part(ZeroPad, trailing=True)


def medicalnet(
    depths: tuple[int, ...], num_classes: int, fields: dict[str, Any], **defaults: Any
) -> MedicalNet:
    """A MedicalNet: stages 3 and 4 dilate by 2 and 4 in place of striding."""
    dilated: dict[str, Any] = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
    backbone = ResNet(depths, **dilated | defaults | fields)
    layer = layer_of(backbone)
    norm = part(backbone.norm, dtype=backbone.dtype)
    return MedicalNet(backbone, num_classes, part(MedicalHead, layer=layer, norm=norm))


@published(14_514_464, None, CHEN_2019, VOLUME)
def medicalnet_resnet10(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-10, projection shortcuts."""
    return medicalnet((1, 1, 1, 1), num_classes, backbone, branch=BASIC)


def medicalnet_resnet18(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-18, zero-padded shortcuts."""
    return medicalnet((2, 2, 2, 2), num_classes, backbone, branch=BASIC, shortcut=_SHORTCUT_A)


def medicalnet_resnet34(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-34, zero-padded shortcuts."""
    return medicalnet((3, 4, 6, 3), num_classes, backbone, branch=BASIC, shortcut=_SHORTCUT_A)


def medicalnet_resnet50(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-50, projection shortcuts."""
    return medicalnet((3, 4, 6, 3), num_classes, backbone, branch=bottleneck(1))


def medicalnet_resnet101(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-101, projection shortcuts."""
    return medicalnet((3, 4, 23, 3), num_classes, backbone, branch=bottleneck(1))


def medicalnet_resnet152(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-152, projection shortcuts."""
    return medicalnet((3, 8, 36, 3), num_classes, backbone, branch=bottleneck(1))


def medicalnet_resnet200(num_classes: int = 2, **backbone: Any) -> MedicalNet:
    """MedicalNet's ResNet-200, projection shortcuts."""
    return medicalnet((3, 24, 36, 3), num_classes, backbone, branch=bottleneck(1))


def residual_unet(
    num_classes: int,
    depths: tuple[int, ...] = (1, 3, 4, 6, 6, 6),
    widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320),
    strides: tuple[Shape, ...] = (1, 2, 2, 2, 2, 2),
    *,
    deep: bool = False,
    **backbone: Any,
) -> UNet:
    """nnU-Net's residual-encoder U-Net (arXiv:2404.09556), 2-D and 3-D, built of `Block`.

    One convolution as the stem, stages of basic blocks whose shortcuts average before they project,
    instance norm and leaky ReLU throughout, and a decoder of one convolution a level. The defaults
    are the six stages of its larger plans; the first stage's stride stays 1. `deep` adds logits of
    every level, for deep supervision.

    Deviations, beside nnU-Net's 102,349,770 parameters for one channel and two classes: shortcuts
    have biases, which the norm takes away again, and one that strides without changing channels
    projects too, where nnU-Net only averages. That makes 104,128 parameters more.
    """
    fields: dict[str, Any] = {
        "branch": BASIC,
        "widths": widths,
        "strides": strides,
        "stem": part(Stem, convs=(StemConv(widths[0], 3, 1),), pool=None),
        "conv": part(Conv, use_bias=True),
        "norm": InstanceNorm,
        "act": nn.leaky_relu,
        "shortcut": part(Projection, pool=True),
    }
    encoder = ResNet(depths, **fields | backbone)
    head = part(
        UNetHead,
        channels=None,
        convolutions=1,
        kernel=1,
        transposed=True,
        deep=deep,
        layer=layer_of(encoder),
    )
    return UNet(encoder, num_classes, head)
