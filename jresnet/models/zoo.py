"""The published nets, a plain function each.

Every function returns a `Classifier`; further keyword arguments replace fields of its `ResNet`
backbone: `resnet50(10, norm=part(BatchNorm, group=32), dtype=jnp.bfloat16)`. `plain(net)` is
any net's twin without shortcuts. `published` states what the paper or its reference code states;
`python -m jresnet list` prints it and the tests compare it with the net.
"""

from typing import Any, Literal

from jresnet.models.block import BASIC, BOTTLENECK, BOTTLENECK_V1, Branch, ConvSpec
from jresnet.models.gates import EfficientChannelAttention, SqueezeExcite
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, GroupNorm, standardise
from jresnet.models.pools import average_pool, blur_pool, max_blur_pool, zero_padded_max_pool
from jresnet.models.published import published
from jresnet.models.resnet import ResNet, Stem, StemConv
from jresnet.models.shortcuts import IdentityOnly, NoShortcut, Part, Projection, ZeroPad, part

HE_2015 = "He et al. 2015, arXiv:1512.03385"
HE_2016 = "He et al. 2016, arXiv:1603.05027"
WIDE = "Zagoruyko & Komodakis 2016, arXiv:1605.07146"
RESNEXT = "Xie et al. 2016, arXiv:1611.05431"
TRAN_2018 = "Tran et al. 2018, arXiv:1711.11248"

SMALL_STEM = part(Stem, convs=(StemConv(64, 3, 1),), pool=None)  # for images of about 32 pixels
DEEP_STEM = part(Stem, convs=(StemConv(32, 3, 2), StemConv(32, 3, 1), StemConv(64, 3, 1)))
# Projections of pre-activation blocks carry no norm: they read the block's normalised input.
PREACTIVATION = {"preactivation": True, "shortcut": part(Projection, bare=True)}
SHORTCUTS = {
    "A": part(ZeroPad),
    "B": part(Projection),
    "C": part(Projection, always=True),
    "identity": part(IdentityOnly),
    "none": part(NoShortcut),
}
CIFAR_DEPTHS = (20, 32, 44, 56, 110, 164, 1001, 1202)


def plain(model: Classifier) -> Classifier:
    """The same net without any shortcut."""
    return model.clone(backbone=model.backbone.clone(shortcut=part(NoShortcut)))


def _net(num_classes: int, fields: dict[str, Any], **defaults: Any) -> Classifier:
    return Classifier(ResNet(**(defaults | fields)), num_classes)


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


@published(11_689_512, 1.814, HE_2015)
def resnet18(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-18: basic blocks, projection shortcuts."""
    return _net(num_classes, backbone, depths=(2, 2, 2, 2), branch=BASIC)


@published(21_797_672, 3.664, HE_2015)
def resnet34(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-34: basic blocks, projection shortcuts."""
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), branch=BASIC)


@published(25_557_032, 4.089, HE_2015)
def resnet50(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-50; `version=1` strides in the first 1x1 as the paper does (3.858 GMAC)."""
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), branch=bottleneck(1, version))


@published(44_549_160, 7.801, HE_2015)
def resnet101(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-101, v1.5 or `version=1`."""
    return _net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(1, version))


@published(60_192_808, 11.514, HE_2015)
def resnet152(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-152, v1.5 or `version=1`."""
    return _net(num_classes, backbone, depths=(3, 8, 36, 3), branch=bottleneck(1, version))


@published(64_673_832, 15.01, HE_2016)
def resnet200(num_classes: int = 1000, version: float = 1.5, **backbone: Any) -> Classifier:
    """ResNet-200, post-activation (arXiv:1603.05027, table 5), v1.5 or `version=1`."""
    return _net(num_classes, backbone, depths=(3, 24, 36, 3), branch=bottleneck(1, version))


@published(68_883_240, 11.398, WIDE)
def wide_resnet50_2(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 with twice the width inside the bottleneck."""
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), branch=bottleneck(2))


@published(126_886_696, 22.753, WIDE)
def wide_resnet101_2(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-101 with twice the width inside the bottleneck."""
    return _net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(2))


@published(25_028_904, 4.230, RESNEXT)
def resnext50_32x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-50, cardinality 32, 4 channels a path in the first stage."""
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), branch=bottleneck(2), groups=32)


@published(44_177_704, 7.970, RESNEXT)
def resnext101_32x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-101, cardinality 32, 4 channels a path in the first stage."""
    return _net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(2), groups=32)


@published(88_791_336, 16.414, RESNEXT)
def resnext101_32x8d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-101, cardinality 32, 8 channels a path in the first stage."""
    return _net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(4), groups=32)


@published(83_455_272, 15.460, RESNEXT)
def resnext101_64x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-101, cardinality 64, 4 channels a path in the first stage."""
    return _net(num_classes, backbone, depths=(3, 4, 23, 3), branch=bottleneck(4), groups=64)


@published(25_576_264, 4.329, "He et al. 2018, arXiv:1812.01187")
def resnet50d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50-D as in timm: three 3x3 in the stem, average-pooled projections."""
    return _net(num_classes, VARIANT_D | backbone, depths=(3, 4, 6, 3))


TIERED_STEM = part(Stem, convs=(StemConv(24, 3, 2), StemConv(32, 3, 1), StemConv(64, 3, 1)))
# ResNet-D and its successors: a deep stem and average-pooled projections.
VARIANT_D = {"stem": DEEP_STEM, "shortcut": part(Projection, pool=True)}


@published(5_435_488, None, "Wightman, timm")
def resnet10t(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-10-T: one basic block a stage, ResNet-D with a tiered stem of 24, 32, 64."""
    fields = VARIANT_D | {"stem": TIERED_STEM} | backbone
    return _net(num_classes, fields, depths=(1, 1, 1, 1), branch=BASIC)


@published(16_014_408, None, "He et al. 2018, arXiv:1812.01187")
def resnet26d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-26-D as in timm."""
    return _net(num_classes, VARIANT_D | backbone, depths=(2, 2, 2, 2))


@published(21_816_904, None, "He et al. 2018, arXiv:1812.01187")
def resnet34d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-34-D as in timm."""
    return _net(num_classes, VARIANT_D | backbone, depths=(3, 4, 6, 3), branch=BASIC)


@published(44_568_392, None, "He et al. 2018, arXiv:1812.01187")
def resnet101d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-101-D as in timm."""
    return _net(num_classes, VARIANT_D | backbone, depths=(3, 4, 23, 3))


@published(25_048_136, None, "He et al. 2018, arXiv:1812.01187")
def resnext50d_32x4d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNeXt-50-D, 32x4d, as in timm."""
    fields = VARIANT_D | backbone
    return _net(num_classes, fields, depths=(3, 4, 6, 3), branch=bottleneck(2), groups=32)


@published(35_691_912, None, "Bello et al. 2021, arXiv:2103.07579")
def resnetrs50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-RS-50 as in timm: ResNet-D, a strided convolution for the pool, SE with ratio 1/4."""
    convs = (StemConv(32, 3, 2), StemConv(32, 3, 1), StemConv(64, 3, 1), StemConv(64, 3, 2))
    fields = VARIANT_D | {"stem": part(Stem, convs=convs, pool=None)}
    fields["gate"] = part(SqueezeExcite, reduction=4)
    return _net(num_classes, fields | backbone, depths=(3, 4, 6, 3))


@published(25_576_350, None, "Wang et al. 2019, arXiv:1910.03151")
def ecaresnet50d(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ECA-ResNet-50-D as in timm."""
    fields = VARIANT_D | {"gate": part(EfficientChannelAttention)} | backbone
    return _net(num_classes, fields, depths=(3, 4, 6, 3))


@published(25_557_032, None, "Zhang 2019, arXiv:1904.11486")
def resnetaa50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 whose strides are average pools, as in timm."""
    stem = part(Stem, pool=average_pool)
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), stem=stem, downsample=average_pool)


@published(25_557_032, None, "Zhang 2019, arXiv:1904.11486")
def resnetblur50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 whose strides are blurred, as in timm."""
    stem = part(Stem, pool=max_blur_pool)
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), stem=stem, downsample=blur_pool)


@published(25_557_032, None, "Wu & He 2018, arXiv:1803.08494")
def resnet50_gn(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """ResNet-50 with group normalisation, as in timm."""
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), norm=part(GroupNorm))


@published(25_549_352, None, "Kolesnikov et al. 2019, arXiv:1912.11370")
def resnetv2_50x1_bit(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """BiT-R50x1 as in timm: pre-activation, group normalisation, weight standardisation."""
    fields = PREACTIVATION | {
        "stem": part(Stem, pool=zero_padded_max_pool),
        "conv": part(Conv, transform=standardise),
        "norm": part(GroupNorm),
    }
    return _net(num_classes, fields | backbone, depths=(3, 4, 6, 3))


@published(28_088_024, None, "Hu et al. 2017, arXiv:1709.01507")
def seresnet50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """SE-ResNet-50 as in timm: squeeze-and-excitation with reduction 16."""
    return _net(num_classes, backbone, depths=(3, 4, 6, 3), gate=part(SqueezeExcite))


@published(25_549_352, None, HE_2016)
def resnetv2_50(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """Pre-activation ResNet-50 as in timm."""
    return _net(num_classes, PREACTIVATION | backbone, depths=(3, 4, 6, 3))


@published(44_541_480, None, HE_2016)
def resnetv2_101(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """Pre-activation ResNet-101 as in timm."""
    return _net(num_classes, PREACTIVATION | backbone, depths=(3, 4, 23, 3))


@published(60_185_128, None, HE_2016)
def resnetv2_152(num_classes: int = 1000, **backbone: Any) -> Classifier:
    """Pre-activation ResNet-152 as in timm."""
    return _net(num_classes, PREACTIVATION | backbone, depths=(3, 8, 36, 3))


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
    return _net(
        num_classes,
        backbone,
        depths=((depth - 2) // layers,) * 3,
        branch=BOTTLENECK if bottleneck else BASIC,
        widths=(16, 32, 64),
        strides=(1, 2, 2),
        stem=part(Stem, convs=(StemConv(16, 3, 1),), pool=None),
        shortcut=_named_shortcut(shortcut, bare=preactivation),
        preactivation=preactivation,
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
    return _net(
        num_classes,
        PREACTIVATION | backbone,
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
    return _net(
        num_classes,
        backbone,
        depths=(3, 3, 3),
        branch=bottleneck(cardinality * width / 64),
        widths=(64, 128, 256),
        strides=(1, 2, 2),
        groups=cardinality,
        stem=SMALL_STEM,
    )


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
    return _net(num_classes, backbone, depths=(2, 2, 2, 2), branch=BASIC, stem=_VIDEO_STEM)


@published(11_695_440, 43.343, TRAN_2018, VIDEO_CLIP)
def mc3_18(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Mixed convolutions: 3x3x3 in the first stage, 1x3x3 after it; time is never strided."""
    return _net(
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
    return _net(num_classes, backbone, depths=(2, 2, 2, 2), branch=_TWO_PLUS_ONE, stem=stem)
