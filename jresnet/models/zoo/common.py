"""Papers, stems and the bottleneck of any width, which the published nets share."""

from typing import Any

from jresnet.models.block import BOTTLENECK, BOTTLENECK_V1, PREACTIVATION, Branch, ConvSpec
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.resnet import ResNet, Stem, StemConv
from jresnet.models.shortcuts import Projection

HE_2015 = "He et al. 2015, arXiv:1512.03385"
HE_2016 = "He et al. 2016, arXiv:1603.05027"
WIDE = "Zagoruyko & Komodakis 2016, arXiv:1605.07146"
RESNEXT = "Xie et al. 2016, arXiv:1611.05431"
TRAN_2018 = "Tran et al. 2018, arXiv:1711.11248"

SMALL_STEM = part(Stem, convs=(StemConv(64, 3, 1),), pool=None)  # for images of about 32 pixels
DEEP_STEM = part(Stem, convs=(StemConv(32, 3, 2), StemConv(32, 3, 1), StemConv(64, 3, 1)))
# Projections of pre-activation blocks carry no norm: they read the block's normalised input.
PREACTIVATED = {"order": PREACTIVATION, "shortcut": part(Projection, bare=True)}


# Blocks a stage from which stages are scanned unless said otherwise: a net of 333 compiles in
# seconds instead of minutes and a step takes as long; at 54 steps are still slower scanned on CPU.
SCANNED = 100


def net(num_classes: int, fields: dict[str, Any], **defaults: Any) -> Classifier:
    """A classifier on a backbone of `defaults`, with `fields` in their place where given."""
    scan = max((defaults | fields)["depths"]) > SCANNED
    return Classifier(ResNet(**({"scan": scan} | defaults | fields)), num_classes)


def bottleneck(width: float, version: float = 1.5) -> Branch:
    """1x1, 3x3, 1x1 with an inner width of `width` times the stage's, to four times the stage's.

    `version` 1 strides in the first 1x1 as the paper does, 1.5 in the 3x3.
    """
    first, middle, last = BOTTLENECK_V1 if version == 1 else BOTTLENECK
    return (
        ConvSpec(1, width, strided=first.strided),
        ConvSpec(3, width, strided=middle.strided, grouped=True),
        last,
    )
