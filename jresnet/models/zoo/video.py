"""Nets for clips, `[batch, time, height, width, 3]`.

`r3d_*`, `mc3_*` and `r2plus1d_*` are those of Tran et al. 2018 as torchvision has them, `hara_*` those
of Hara et al. 2018, `r3d_rs_*` those of Du et al. 2021.
"""

from typing import Any

from jresnet.models.block import BASIC, Branch, ConvSpec
from jresnet.models.gates import SelfGatedSqueezeExcite, SqueezeExcite
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.pools import max_pool
from jresnet.models.published import published
from jresnet.models.resnet import Stem, StemConv
from jresnet.models.shortcuts import Projection, ZeroPad
from jresnet.models.zoo.common import TRAN_2018, bottleneck, net

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


def r3d_34(num_classes: int = 400, **backbone: Any) -> Classifier:
    """ResNet-34 with 3x3x3 convolutions."""
    return r3d_18(num_classes, **{"depths": _DEPTHS_34} | backbone)


def mc3_34(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Mixed convolutions in ResNet-34."""
    return mc3_18(num_classes, **{"depths": _DEPTHS_34} | backbone)


def r2plus1d_34(num_classes: int = 400, **backbone: Any) -> Classifier:
    """R(2+1)D-34, channels between the factors as in `r2plus1d_18`."""
    return r2plus1d_18(num_classes, **{"depths": _DEPTHS_34} | backbone)


_DEPTHS_34 = (3, 4, 6, 3)
_HARA_STEM = part(Stem, convs=(StemConv(64, 7, (1, 2, 2)),))


def _hara(
    depths: tuple[int, ...], num_classes: int, fields: dict[str, Any], **defaults: Any
) -> Classifier:
    """A 3-D ResNet of Hara et al. 2018: a 7x7x7 stem and a max-pool over time too.

    `shortcut` is the paper's type A, zeros for new channels, or B, projections.
    """
    kind = fields.pop("shortcut", defaults.pop("shortcut"))
    kinds = {"A": part(ZeroPad, trailing=True), "B": Projection}
    chosen = kinds[kind] if isinstance(kind, str) else kind
    return net(num_classes, fields, depths=depths, stem=_HARA_STEM, shortcut=chosen, **defaults)


def hara_r3d_18(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Hara's 3-D ResNet-18, zero-padded shortcuts (A)."""
    return _hara((2, 2, 2, 2), num_classes, backbone, branch=BASIC, shortcut="A")


def hara_r3d_34(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Hara's 3-D ResNet-34, zero-padded shortcuts (A)."""
    return _hara(_DEPTHS_34, num_classes, backbone, branch=BASIC, shortcut="A")


def hara_r3d_50(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Hara's 3-D ResNet-50, projections (B)."""
    return _hara(_DEPTHS_34, num_classes, backbone, branch=bottleneck(1), shortcut="B")


def hara_r3d_101(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Hara's 3-D ResNet-101, projections (B)."""
    return _hara((3, 4, 23, 3), num_classes, backbone, branch=bottleneck(1), shortcut="B")


def hara_r3d_152(num_classes: int = 400, **backbone: Any) -> Classifier:
    """Hara's 3-D ResNet-152, projections (B)."""
    return _hara((3, 8, 36, 3), num_classes, backbone, branch=bottleneck(1), shortcut="B")


def _temporal(length: int) -> Branch:
    """A bottleneck whose first convolution spans `length` frames."""
    return (
        ConvSpec((length, 1, 1)),
        ConvSpec((1, 3, 3), strided=True, grouped=True),
        ConvSpec(1, 4.0),
    )


_RS_STEM = part(
    Stem,
    convs=(StemConv(32, (5, 3, 3), 2), StemConv(32, (1, 3, 3), 1), StemConv(64, (1, 3, 3), 1)),
    pool=part(max_pool, window=(1, 3, 3), strides=(1, 2, 2)),
)


def _r3d_rs(depths: tuple[int, ...], num_classes: int, fields: dict[str, Any]) -> Classifier:
    """A 3-D ResNet-RS (arXiv:2109.01696) as TensorFlow's model garden configures it.

    Its backbones_3d.py, resnet_3d.py and k400_resnet3drs_50_tpu.yaml (78.2 % with 30 views) agree
    with: three convolutions in the stem, of which the first spans five frames and strides time by
    two; a pool of the stem over space alone; three frames in the first convolution of stages 3 and
    4 and one in the others; no other stride of time; strides of space in the middle convolution;
    squeeze-and-excitation to a quarter of a block's output; self-gating before it in the last block
    of each stage (nn_blocks_3d.py).

    Deviations: the garden pads as TensorFlow does, unevenly where strides are 2. Whether the nets of 101 to 200 layers that
    the paper reports differ otherwise was not verified: only the 50's configuration was read.
    """
    return net(
        num_classes,
        fields,
        depths=depths,
        branch=(_temporal(1), _temporal(1), _temporal(3), _temporal(3)),
        strides=(1, (1, 2, 2), (1, 2, 2), (1, 2, 2)),
        stem=_RS_STEM,
        gate=part(SqueezeExcite, reduction=4),
        last_gate=part(SelfGatedSqueezeExcite, reduction=4),
    )


def r3d_rs_50(num_classes: int = 400, **backbone: Any) -> Classifier:
    """R3D-RS-50."""
    return _r3d_rs(_DEPTHS_34, num_classes, backbone)


def r3d_rs_101(num_classes: int = 400, **backbone: Any) -> Classifier:
    """R3D-RS-101."""
    return _r3d_rs((3, 4, 23, 3), num_classes, backbone)


def r3d_rs_152(num_classes: int = 400, **backbone: Any) -> Classifier:
    """R3D-RS-152."""
    return _r3d_rs((3, 8, 36, 3), num_classes, backbone)


def r3d_rs_200(num_classes: int = 400, **backbone: Any) -> Classifier:
    """R3D-RS-200."""
    return _r3d_rs((3, 24, 36, 3), num_classes, backbone)
