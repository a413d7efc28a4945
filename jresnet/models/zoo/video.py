"""Nets for clips, `[batch, time, height, width, 3]`."""

from typing import Any

from jresnet.models.block import BASIC, Branch, ConvSpec
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.zoo.common import TRAN_2018, net

VIDEO_CLIP = (16, 112, 112, 3)
_VIDEO_STEM = part(Stem, convs=(StemConv(64, (3, 7, 7), (1, 2, 2)),), pool=None)
_SPATIAL: Branch = (ConvSpec((1, 3, 3), strided=True), ConvSpec((1, 3, 3)))


def _factored(block_input: int, width: int) -> int:
    """Channels between the spatial and the temporal convolution that keep the parameter count of
    the full 3x3x3; torchvision takes one number for both convolutions of a block."""
    return block_input * width * 27 // (block_input * 9 + 3 * width)


_TWO_PLUS_ONE: Branch = (
    ConvSpec((1, 3, 3), _factored, strided=True),
    ConvSpec((3, 1, 1), strided=True),
    ConvSpec((1, 3, 3), _factored),
    ConvSpec((3, 1, 1)),
)


@published(33_371_472, 40.697, TRAN_2018, VIDEO_CLIP)
def r3d_18(num_classes: int = 400, **backbone: Any) -> Classifier:
    """ResNet-18 with 3x3x3 convolutions, `[batch, time, height, width, 3]`."""
    return net(num_classes, backbone, depths=(2, 2, 2, 2), branch=BASIC, stem=_VIDEO_STEM)


@published(11_695_440, 43.343, TRAN_2018, VIDEO_CLIP)
def mc3_18(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Mixed convolutions: 3x3x3 in the first stage, 1x3x3 after it; time is never strided."""
    return net(
        num_classes,
        backbone,
        depths=(2, 2, 2, 2),
        branch=(BASIC, _SPATIAL, _SPATIAL, _SPATIAL),
        stem=_VIDEO_STEM,
    )


@published(31_505_325, 40.519, TRAN_2018, VIDEO_CLIP)
def r2plus1d_18(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Every 3x3x3 as a 1x3x3 and a 3x1x1 with norm and activation in between."""
    stem = part(
        Stem, convs=(StemConv(45, (1, 7, 7), (1, 2, 2)), StemConv(64, (3, 1, 1), 1)), pool=None
    )
    return net(num_classes, backbone, depths=(2, 2, 2, 2), branch=_TWO_PLUS_ONE, stem=stem)
