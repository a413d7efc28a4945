"""The ImageNet classifiers of torchvision, under its names."""

from typing import Any

from jresnet.models.block import BASIC
from jresnet.models.heads import Classifier
from jresnet.models.published import published
from jresnet.models.zoo.common import HE_2015, HE_2016, RESNEXT, WIDE, bottleneck, net


@published(11_689_512, 1.814, HE_2015)
def resnet18(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-18: basic blocks, projection shortcuts."""
    return net(num_classes, backbone, depths=(2, 2, 2, 2), branch=BASIC)


@published(21_797_672, 3.664, HE_2015)
def resnet34(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-34: basic blocks, projection shortcuts."""
    return net(num_classes, backbone, depths=(3, 4, 6, 3), branch=BASIC)


@published(25_557_032, 4.089, HE_2015)
def resnet50(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-50; `version=1` strides in the first 1x1 as the paper does (3.858 GMAC)."""
    return net(num_classes, backbone, depths=(3, 4, 6, 3), branch=bottleneck(1, version))


@published(44_549_160, 7.801, HE_2015)
def resnet101(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-101, v1.5 or `version=1`."""
    return net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(1, version))


@published(60_192_808, 11.514, HE_2015)
def resnet152(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-152, v1.5 or `version=1`."""
    return net(num_classes, backbone, depths=(3, 8, 36, 3), branch=bottleneck(1, version))


@published(64_673_832, 15.01, HE_2016)
def resnet200(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-200, post-activation (arXiv:1603.05027, table 5), v1.5 or `version=1`."""
    return net(num_classes, backbone, depths=(3, 24, 36, 3), branch=bottleneck(1, version))


@published(68_883_240, 11.398, WIDE)
def wide_resnet50_2(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 with twice the width inside the bottleneck."""
    return net(num_classes, backbone, depths=(3, 4, 6, 3), branch=bottleneck(2))


@published(126_886_696, 22.753, WIDE)
def wide_resnet101_2(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-101 with twice the width inside the bottleneck."""
    return net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(2))


@published(25_028_904, 4.230, RESNEXT)
def resnext50_32x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-50, cardinality 32, 4 channels a path in the first stage."""
    return net(num_classes, backbone, depths=(3, 4, 6, 3), branch=bottleneck(2), groups=32)


@published(44_177_704, 7.970, RESNEXT)
def resnext101_32x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-101, cardinality 32, 4 channels a path in the first stage."""
    return net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(2), groups=32)


@published(88_791_336, 16.414, RESNEXT)
def resnext101_32x8d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-101, cardinality 32, 8 channels a path in the first stage."""
    return net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(4), groups=32)


@published(83_455_272, 15.460, RESNEXT)
def resnext101_64x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-101, cardinality 64, 4 channels a path in the first stage."""
    return net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(4), groups=64)
