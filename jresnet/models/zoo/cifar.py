"""Nets for images of 32 pixels."""

from typing import Any, Literal

from jresnet.models.block import BASIC, BOTTLENECK, POSTACTIVATION, PREACTIVATION
from jresnet.models.heads import Classifier
from jresnet.models.part import Part, part
from jresnet.models.published import published
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.shortcuts import IdentityOnly, NoShortcut, Projection, ZeroPad
from jresnet.models.zoo.common import (
    HE_2015,
    HE_2016,
    PREACTIVATED,
    RESNEXT,
    SMALL_STEM,
    WIDE,
    net,
)
from jresnet.models.zoo.common import bottleneck as bottleneck_of_width

SHORTCUTS = {
    "A": part(ZeroPad),
    "B": part(Projection),
    "C": part(Projection, always=True),
    "identity": part(IdentityOnly),
    "none": part(NoShortcut),
}
CIFAR_DEPTHS = (20, 32, 44, 56, 110, 164, 1001, 1202)


def _named_shortcut(shortcut: str | Part, bare: bool) -> Part:
    if not isinstance(shortcut, str):
        return shortcut
    if shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut {shortcut!r} is none of {', '.join(SHORTCUTS)}")
    named = SHORTCUTS[shortcut]
    return part(named, bare=True) if bare and named.layer is Projection else named


CIFAR_IMAGE = (32, 32, 3)


@published(269_722, 0.04055, HE_2015, CIFAR_IMAGE, depth=20)
@published(464_154, 0.0689, HE_2015, CIFAR_IMAGE, depth=32)
@published(658_586, 0.0972, HE_2015, CIFAR_IMAGE, depth=44)
@published(853_018, 0.1255, HE_2015, CIFAR_IMAGE, depth=56)
@published(1_727_962, 0.2529, HE_2015, CIFAR_IMAGE, depth=110)
@published(1_703_258, None, HE_2016, CIFAR_IMAGE, depth=164, shortcut="B", preactivation=True)
@published(10_327_706, None, HE_2016, CIFAR_IMAGE, depth=1001, shortcut="B", preactivation=True)
@published(19_421_274, 2.83, HE_2015, CIFAR_IMAGE, depth=1202)
def cifar_resnet(
    depth: int = 56,
    num_classes: int = 10,
    shortcut: Literal["A", "B", "C", "identity", "none"] | Part = "A",
    preactivation: bool = False,
    bottleneck: bool | None = None,
    **backbone: Any,
) -> Classifier:
    """The CIFAR family: 16, 32, 64 channels, 3x3 stem, 6n+2 layers (9n+2 with bottlenecks).

    He et al. 2015, section 4.2; bottlenecks and pre-activation He et al. 2016, section 4.
    `bottleneck=None` takes what the papers used: 164 and 1001 have bottlenecks.
    Raises ValueError for a depth that does not fit.
    """
    if bottleneck is None:
        bottleneck = depth in (164, 1001)
    layers = 9 if bottleneck else 6
    if depth < layers + 2 or (depth - 2) % layers:
        raise ValueError(
            f"depth {depth} is not {layers}n+2"
            f"{' (bottleneck blocks)' if bottleneck else ''}: take one of "
            f"{', '.join(str(d) for d in CIFAR_DEPTHS if (d - 2) % layers == 0)}"
        )
    return net(
        num_classes,
        backbone,
        depths=((depth - 2) // layers,) * 3,
        branch=BOTTLENECK if bottleneck else BASIC,
        widths=(16, 32, 64),
        strides=(1, 2, 2),
        stem=part(Stem, convs=(StemConv(16, 3, 1),), pool=None),
        shortcut=_named_shortcut(shortcut, bare=preactivation),
        order=PREACTIVATION if preactivation else POSTACTIVATION,
    )


@published(2_748_890, 0.393, WIDE, CIFAR_IMAGE, depth=16, k=4)
@published(10_961_370, 1.548, WIDE, CIFAR_IMAGE, depth=16, k=8)
@published(1_467_610, 0.214, WIDE, CIFAR_IMAGE, depth=28, k=2)
@published(36_479_194, 5.243, WIDE, CIFAR_IMAGE, depth=28, k=10)
@published(2_243_546, 0.328, WIDE, CIFAR_IMAGE, depth=40, k=2)
@published(8_949_210, 1.299, WIDE, CIFAR_IMAGE, depth=40, k=4)
def wrn(
    depth: int = 28, k: int = 10, dropout: float = 0.0, num_classes: int = 10, **backbone: Any
) -> Classifier:
    """WRN-depth-k: pre-activation basic blocks, 16k, 32k, 64k channels, 6n+4 layers.

    Bare 1x1 projections that share the block's first norm and activation; dropout between the
    convolutions (section 2.4). Raises ValueError for a depth that is not 6n+4.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth {depth} is not 6n+4: take one of 16, 22, 28, 40")
    return net(
        num_classes,
        PREACTIVATED | backbone,
        depths=((depth - 4) // 6,) * 3,
        branch=BASIC,
        widths=(16 * k, 32 * k, 64 * k),
        strides=(1, 2, 2),
        stem=part(Stem, convs=(StemConv(16, 3, 1),), pool=None),
        dropout=dropout,
    )


@published(34_426_698, 5.39, RESNEXT, CIFAR_IMAGE, cardinality=8, width=64)
@published(68_155_210, 10.69, RESNEXT, CIFAR_IMAGE, cardinality=16, width=64)
@published(4_775_754, None, RESNEXT, CIFAR_IMAGE, cardinality=32, width=4)
def cifar_resnext29(
    cardinality: int = 8, width: int = 64, num_classes: int = 10, **backbone: Any
) -> Classifier:
    """ResNeXt-29, `cardinality` x `width`d: three stages of three bottlenecks (section 5.3)."""
    return net(
        num_classes,
        backbone,
        depths=(3, 3, 3),
        branch=bottleneck_of_width(cardinality * width / 64),
        widths=(64, 128, 256),
        strides=(1, 2, 2),
        groups=cardinality,
        stem=SMALL_STEM,
    )
