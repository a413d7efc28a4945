"""Nets that label every pixel, under the names of torchvision and segmentation_models_pytorch.

`fcn`, `deeplabv3`, `deeplabv3plus` and `unet` put their head on the backbone of any net; the
functions below name the published ones, and their further keyword arguments replace fields of the
backbone. Each is a `Segmenter`, for any number of input channels.
"""

from typing import Any

from jresnet.models.block import ModuleDef
from jresnet.models.headed import Headed, backbone_of, with_backbone
from jresnet.models.heads.deeplab import (
    DeepLabHead,
    DeepLabPlusHead,
    DeepLabV3,
    DeepLabV3Plus,
)
from jresnet.models.heads.maps import FCN, ConvNormAct, FCNHead, Segmenter
from jresnet.models.heads.unet import CHANNELS, UNet, UNetHead
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.resnet import ResNet
from jresnet.models.zoo.imagenet import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnext50_32x4d,
)

LONG = "Long et al. 2014, arXiv:1411.4038"
CHEN_2017 = "Chen et al. 2017, arXiv:1706.05587"
CHEN_2018 = "Chen et al. 2018, arXiv:1802.02611"
RONNEBERGER = "Ronneberger et al. 2015, arXiv:1505.04597"
PICTURE = (520, 520, 3)
SQUARE = (224, 224, 3)  # of segmentation_models_pytorch, whose sides are multiples of 32
RATES = (12, 24, 36)
# Strides 16 and 8 as segmentation_models_pytorch has them: the first block of a stage dilates too.
DILATED: dict[int, dict[str, Any]] = {
    16: {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)},
    8: {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
}


def fcn(net: Headed, num_classes: int = 21, *, auxiliary: bool = True) -> Segmenter:
    """FCN's head on the backbone of `net`; `auxiliary` adds one on the feature before the last."""
    head = part(FCNHead, layer=layer_of(backbone_of(net)))
    return FCN(net.backbone, num_classes, head, _auxiliary(net) if auxiliary else None)


def deeplabv3(
    net: Headed,
    num_classes: int = 21,
    *,
    rates: tuple[int, ...] | None = None,
    auxiliary: bool = True,
) -> Segmenter:
    """DeepLabv3's head on the backbone of `net`.

    `rates` dilate ASPP: by default (12, 24, 36), or (6, 12, 18) where the backbone's
    `output_stride` is 16 (arXiv:1706.05587, section 4.1).
    """
    if rates is None:
        coarse = backbone_of(net).output_stride == 16
        rates = tuple(rate // 2 for rate in RATES) if coarse else RATES
    head = part(DeepLabHead, rates=rates, layer=layer_of(backbone_of(net)))
    return DeepLabV3(net.backbone, num_classes, head, _auxiliary(net) if auxiliary else None)


def deeplabv3plus(
    net: Headed, num_classes: int = 21, *, rates: tuple[int, ...] = RATES
) -> Segmenter:
    """DeepLabv3+'s head on the backbone of `net`, with a decoder over its first stage.

    The paper's `rates` at an output stride of 16 are (6, 12, 18); the default is that of
    segmentation_models_pytorch.
    """
    head = part(DeepLabPlusHead, rates=rates, layer=layer_of(backbone_of(net)))
    return DeepLabV3Plus(net.backbone, num_classes, head, align_corners=True)


def unet(
    net: Headed, num_classes: int = 1, *, channels: tuple[int, ...] | None = CHANNELS
) -> Segmenter:
    """U-Net's decoder on the backbone of `net`, 2-D or 3-D; `channels` as in `UNetHead`."""
    head = part(UNetHead, channels=channels, layer=layer_of(backbone_of(net)))
    return UNet(with_backbone(net, before_pool=True).backbone, num_classes, head)


def layer_of(backbone: ResNet) -> ModuleDef:
    """Convolution, norm and activation of a head, of the kinds that the backbone has."""
    return part(
        ConvNormAct,
        conv=part(backbone.conv, dtype=backbone.dtype),
        norm=part(backbone.norm, dtype=backbone.dtype),
        act=backbone.act,
    )


def _auxiliary(net: Headed) -> ModuleDef:
    before_last = f"stage{len(backbone_of(net).depths) - 1}"
    return part(FCNHead, feature=before_last, layer=layer_of(backbone_of(net)))


@published(35_322_218, None, LONG, PICTURE)
def fcn_resnet50(num_classes: int = 21, auxiliary: bool = True, **backbone: Any) -> Segmenter:
    """FCN on ResNet-50 at an output stride of 8."""
    return fcn(resnet50(**{"output_stride": 8} | backbone), num_classes, auxiliary=auxiliary)


@published(54_314_346, None, LONG, PICTURE)
def fcn_resnet101(num_classes: int = 21, auxiliary: bool = True, **backbone: Any) -> Segmenter:
    """FCN on ResNet-101 at an output stride of 8."""
    return fcn(resnet101(**{"output_stride": 8} | backbone), num_classes, auxiliary=auxiliary)


@published(42_004_074, None, CHEN_2017, PICTURE)
def deeplabv3_resnet50(num_classes: int = 21, auxiliary: bool = True, **backbone: Any) -> Segmenter:
    """DeepLabv3 on ResNet-50 at an output stride of 8, or 16 with `output_stride=16`."""
    net = resnet50(**{"output_stride": 8} | backbone)
    return deeplabv3(net, num_classes, auxiliary=auxiliary)


@published(60_996_202, None, CHEN_2017, PICTURE)
def deeplabv3_resnet101(
    num_classes: int = 21, auxiliary: bool = True, **backbone: Any
) -> Segmenter:
    """DeepLabv3 on ResNet-101 at an output stride of 8, or 16 with `output_stride=16`."""
    net = resnet101(**{"output_stride": 8} | backbone)
    return deeplabv3(net, num_classes, auxiliary=auxiliary)


@published(12_329_297, None, CHEN_2018, SQUARE, num_classes=1)
def deeplabv3plus_resnet18(num_classes: int = 21, **backbone: Any) -> Segmenter:
    """DeepLabv3+ on ResNet-18 at an output stride of 16."""
    return deeplabv3plus(resnet18(**DILATED[16] | backbone), num_classes)


@published(22_437_457, None, CHEN_2018, SQUARE, num_classes=1)
def deeplabv3plus_resnet34(num_classes: int = 21, **backbone: Any) -> Segmenter:
    """DeepLabv3+ on ResNet-34 at an output stride of 16."""
    return deeplabv3plus(resnet34(**DILATED[16] | backbone), num_classes)


@published(26_677_585, None, CHEN_2018, SQUARE, num_classes=1)
def deeplabv3plus_resnet50(num_classes: int = 21, **backbone: Any) -> Segmenter:
    """DeepLabv3+ on ResNet-50 at an output stride of 16."""
    return deeplabv3plus(resnet50(**DILATED[16] | backbone), num_classes)


@published(45_669_713, None, CHEN_2018, SQUARE, num_classes=1)
def deeplabv3plus_resnet101(num_classes: int = 21, **backbone: Any) -> Segmenter:
    """DeepLabv3+ on ResNet-101 at an output stride of 16."""
    return deeplabv3plus(resnet101(**DILATED[16] | backbone), num_classes)


@published(14_328_209, None, RONNEBERGER, SQUARE)
def unet_resnet18(num_classes: int = 1, **backbone: Any) -> Segmenter:
    """U-Net on ResNet-18."""
    return unet(resnet18(**backbone), num_classes)


@published(24_436_659, None, RONNEBERGER, (96, 128, 3), num_classes=3)
@published(24_436_369, None, RONNEBERGER, SQUARE)
def unet_resnet34(num_classes: int = 1, **backbone: Any) -> Segmenter:
    """U-Net on ResNet-34; the count is that of segmentation_models_pytorch with 3 classes."""
    return unet(resnet34(**backbone), num_classes)


@published(32_521_105, None, RONNEBERGER, SQUARE)
def unet_resnet50(num_classes: int = 1, **backbone: Any) -> Segmenter:
    """U-Net on ResNet-50."""
    return unet(resnet50(**backbone), num_classes)


@published(51_513_233, None, RONNEBERGER, SQUARE)
def unet_resnet101(num_classes: int = 1, **backbone: Any) -> Segmenter:
    """U-Net on ResNet-101."""
    return unet(resnet101(**backbone), num_classes)


@published(31_992_977, None, RONNEBERGER, SQUARE)
def unet_resnext50_32x4d(num_classes: int = 1, **backbone: Any) -> Segmenter:
    """U-Net on ResNeXt-50."""
    return unet(resnext50_32x4d(**backbone), num_classes)
