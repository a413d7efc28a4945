"""The ImageNet classifiers of timm that torchvision has not, under timm's names."""

from typing import Any

from jresnet.models.block import BASIC
from jresnet.models.gates import EfficientChannelAttention, SqueezeExcite
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, GroupNorm, standardise
from jresnet.models.part import part
from jresnet.models.pools import average_pool, blur_pool, max_blur_pool, zero_padded_max_pool
from jresnet.models.published import published
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.shortcuts import Projection
from jresnet.models.zoo.common import DEEP_STEM, HE_2016, PREACTIVATED, bottleneck, net


@published(25_576_264, 4.329, "He et al. 2018, arXiv:1812.01187")
def resnet50d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50-D as in timm: three 3x3 in the stem, average-pooled projections."""
    return net(num_classes, VARIANT_D | backbone, depths=(3, 4, 6, 3))


TIERED_STEM = part(Stem, convs=(StemConv(24, 3, 2), StemConv(32, 3, 1), StemConv(64, 3, 1)))
# ResNet-D and its successors: a deep stem and average-pooled projections.
VARIANT_D = {"stem": DEEP_STEM, "shortcut": part(Projection, pool=True)}


@published(5_435_488, None, "Wightman, timm")
def resnet10t(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-10-T: one basic block a stage, ResNet-D with a tiered stem of 24, 32, 64."""
    fields = VARIANT_D | {"stem": TIERED_STEM} | backbone
    return net(num_classes, fields, depths=(1, 1, 1, 1), branch=BASIC)


@published(16_014_408, None, "He et al. 2018, arXiv:1812.01187")
def resnet26d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-26-D as in timm."""
    return net(num_classes, VARIANT_D | backbone, depths=(2, 2, 2, 2))


@published(21_816_904, None, "He et al. 2018, arXiv:1812.01187")
def resnet34d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-34-D as in timm."""
    return net(num_classes, VARIANT_D | backbone, depths=(3, 4, 6, 3), branch=BASIC)


@published(44_568_392, None, "He et al. 2018, arXiv:1812.01187")
def resnet101d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-101-D as in timm."""
    return net(num_classes, VARIANT_D | backbone, depths=(3, 4, 23, 3))


@published(25_048_136, None, "He et al. 2018, arXiv:1812.01187")
def resnext50d_32x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-50-D, 32x4d, as in timm."""
    fields = VARIANT_D | backbone
    return net(num_classes, fields, depths=(3, 4, 6, 3), branch=bottleneck(2), groups=32)


@published(35_691_912, None, "Bello et al. 2021, arXiv:2103.07579")
def resnetrs50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-RS-50 as in timm: ResNet-D, a strided convolution for the pool, SE with ratio 1/4."""
    convs = (StemConv(32, 3, 2), StemConv(32, 3, 1), StemConv(64, 3, 1), StemConv(64, 3, 2))
    fields = VARIANT_D | {"stem": part(Stem, convs=convs, pool=None)}
    fields["gate"] = part(SqueezeExcite, reduction=4)
    return net(num_classes, fields | backbone, depths=(3, 4, 6, 3))


@published(25_576_350, None, "Wang et al. 2019, arXiv:1910.03151")
def ecaresnet50d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ECA-ResNet-50-D as in timm."""
    fields = VARIANT_D | {"gate": part(EfficientChannelAttention)} | backbone
    return net(num_classes, fields, depths=(3, 4, 6, 3))


@published(25_557_032, None, "Zhang 2019, arXiv:1904.11486")
def resnetaa50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 whose strides are average pools, as in timm."""
    stem = part(Stem, pool=average_pool)
    return net(num_classes, backbone, depths=(3, 4, 6, 3), stem=stem, downsample=average_pool)


@published(25_557_032, None, "Zhang 2019, arXiv:1904.11486")
def resnetblur50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 whose strides are blurred, as in timm."""
    stem = part(Stem, pool=max_blur_pool)
    return net(num_classes, backbone, depths=(3, 4, 6, 3), stem=stem, downsample=blur_pool)


@published(25_557_032, None, "Wu & He 2018, arXiv:1803.08494")
def resnet50_gn(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 with group normalisation, as in timm."""
    return net(num_classes, backbone, depths=(3, 4, 6, 3), norm=part(GroupNorm))


@published(25_549_352, None, "Kolesnikov et al. 2019, arXiv:1912.11370")
def resnetv2_50x1_bit(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """BiT-R50x1 as in timm: pre-activation, group normalisation, weight standardisation."""
    fields = PREACTIVATED | {
        "stem": part(Stem, pool=zero_padded_max_pool),
        "conv": part(Conv, transform=standardise),
        "norm": part(GroupNorm),
    }
    return net(num_classes, fields | backbone, depths=(3, 4, 6, 3))


@published(28_088_024, None, "Hu et al. 2017, arXiv:1709.01507")
def seresnet50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """SE-ResNet-50 as in timm: squeeze-and-excitation with reduction 16."""
    return net(num_classes, backbone, depths=(3, 4, 6, 3), gate=part(SqueezeExcite))


@published(25_549_352, None, HE_2016)
def resnetv2_50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """Pre-activation ResNet-50 as in timm."""
    return net(num_classes, PREACTIVATED | backbone, depths=(3, 4, 6, 3))


@published(44_541_480, None, HE_2016)
def resnetv2_101(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """Pre-activation ResNet-101 as in timm."""
    return net(num_classes, PREACTIVATED | backbone, depths=(3, 4, 23, 3))


@published(60_185_128, None, HE_2016)
def resnetv2_152(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """Pre-activation ResNet-152 as in timm."""
    return net(num_classes, PREACTIVATED | backbone, depths=(3, 8, 36, 3))
