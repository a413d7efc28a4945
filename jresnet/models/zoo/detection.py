"""Detectors under the names of torchvision: Faster, Mask and Keypoint R-CNN on a feature pyramid.

Those on ResNet-101 and ResNeXt-101 are named in the same way; detectron2 publishes weights of them.
`faster_rcnn`, `mask_rcnn` and `keypoint_rcnn` put their heads on the backbone of any net with
2-D images; the functions below name the published ones, and their further keyword arguments
replace fields of the backbone. `norm=part(BatchNorm, group=8)` or `norm=part(BatchNorm)` trains the
norms that `FrozenBatchNorm` holds fixed.

Version 2 is that of Li et al., arXiv:2111.11429: a norm in pyramid and heads, two convolutions in the
first stage's head, four before the second's dense layer.
"""

from typing import Any

from jresnet.models.block import ModuleDef
from jresnet.models.detection.settings import Settings
from jresnet.models.headed import Headed, backbone_of
from jresnet.models.heads.fpn import FPN
from jresnet.models.heads.maps import ConvNormAct
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.heads.regions import BoxHead, KeypointHead, MaskHead, RPNHead
from jresnet.models.layers import Conv, FrozenBatchNorm, NoNorm
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.zoo.imagenet import resnet50, resnet101, resnext101_32x8d

REN = "Ren et al. 2015, arXiv:1506.01497"
HE_2017 = "He et al. 2017, arXiv:1703.06870"
LI_2021 = "Li et al. 2021, arXiv:2111.11429"
PICTURE = (800, 800, 3)
FROZEN = part(FrozenBatchNorm)
TORCHVISION = Settings()
# detectron2's where they differ, but for RoIAlign's samples: there as many as a bin is long
# (`sampling=None`, slow here). Its weights are for `resnet50(version=1)`.
DETECTRON2 = Settings(rounded=False, aligned=True)


def faster_rcnn(
    net: Headed,
    num_classes: int = 91,
    *,
    version: int = 1,
    names: tuple[str, ...] | None = None,
    settings: Settings = TORCHVISION,
) -> RCNN:
    """Faster R-CNN on the backbone of `net`.

    Args:
        net: any net with a backbone for 2-D images.
        num_classes: classes and the background.
        version: 1 or 2, see the module.
        names: features of the backbone, from fine to coarse; None: the last stage of each
            resolution.
        settings: all numbers.
    """
    return RCNN(net.backbone, num_classes, **_parts(net, version, names, settings))


def mask_rcnn(
    net: Headed,
    num_classes: int = 91,
    *,
    version: int = 1,
    names: tuple[str, ...] | None = None,
    settings: Settings = TORCHVISION,
) -> RCNN:
    """Mask R-CNN on the backbone of `net`; arguments as in `faster_rcnn`."""
    mask = part(MaskHead, **_fields(net, version))
    return RCNN(net.backbone, num_classes, mask=mask, **_parts(net, version, names, settings))


def keypoint_rcnn(
    net: Headed,
    num_classes: int = 2,
    keypoints: int = 17,
    *,
    names: tuple[str, ...] | None = None,
    settings: Settings = TORCHVISION,
) -> RCNN:
    """Keypoint R-CNN on the backbone of `net`: `keypoints` an object; else as in `faster_rcnn`."""
    head = part(KeypointHead, keypoints=keypoints, **_fields(net, 1))
    parts = _parts(net, 1, names, settings)
    return RCNN(net.backbone, num_classes, keypoint=head, **parts)


def _parts(
    net: Headed, version: int, names: tuple[str, ...] | None, settings: Settings
) -> dict[str, Any]:
    """The fields that all detectors share. Raises ValueError for another version than 1 and 2."""
    if version not in (1, 2):
        raise ValueError(f"version={version}: expected 1 or 2")
    box = {"convolutions": 4, "dense": 1} if version == 2 else {}
    return {
        "fpn": part(FPN, names=names, layer=_layer(net, version)),
        "rpn": part(RPNHead, convolutions=version, layer=_layer(net, 1)),
        "box": part(BoxHead, **_fields(net, version), **box),
        "settings": settings,
    }


def _fields(net: Headed, version: int) -> dict[str, Any]:
    return {"layer": _layer(net, version), "dtype": backbone_of(net).dtype}


def _frozen(backbone: dict[str, Any]) -> dict[str, Any]:
    return {"norm": FROZEN} | backbone


def _layer(net: Headed, version: int) -> ModuleDef:
    """Convolutions with a bias in version 1, in 2 with a norm of the backbone's kind."""
    backbone = backbone_of(net)
    dtype = backbone.dtype
    if version == 1:
        conv, norm = part(Conv, use_bias=True, dtype=dtype), part(NoNorm)
    else:
        conv, norm = part(Conv, dtype=dtype), part(backbone.norm, dtype=dtype)
    return part(ConvNormAct, conv=conv, norm=norm)


@published(41_755_286, None, REN, PICTURE)
def fasterrcnn_resnet50_fpn(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Faster R-CNN on ResNet-50, whose norms are frozen; `num_classes` counts the background."""
    return faster_rcnn(resnet50(**_frozen(backbone)), num_classes)


@published(43_712_278, None, LI_2021, PICTURE)
def fasterrcnn_resnet50_fpn_v2(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Faster R-CNN of version 2 on ResNet-50, whose norms train as those of the heads do."""
    return faster_rcnn(resnet50(**backbone), num_classes, version=2)


@published(44_401_393, None, HE_2017, PICTURE)
def maskrcnn_resnet50_fpn(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Mask R-CNN on ResNet-50, whose norms are frozen; `num_classes` counts the background."""
    return mask_rcnn(resnet50(**_frozen(backbone)), num_classes)


@published(46_359_409, None, LI_2021, PICTURE)
def maskrcnn_resnet50_fpn_v2(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Mask R-CNN of version 2 on ResNet-50, whose norms train as those of the heads do."""
    return mask_rcnn(resnet50(**backbone), num_classes, version=2)


@published(59_137_258, None, HE_2017, PICTURE)
def keypointrcnn_resnet50_fpn(num_classes: int = 2, keypoints: int = 17, **backbone: Any) -> RCNN:
    """Keypoint R-CNN on ResNet-50, whose norms are frozen: people and their 17 keypoints."""
    return keypoint_rcnn(resnet50(**_frozen(backbone)), num_classes, keypoints)


@published(60_695_190, None, REN, PICTURE)
def fasterrcnn_resnet101_fpn(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Faster R-CNN on ResNet-101, whose norms are frozen."""
    return faster_rcnn(resnet101(**_frozen(backbone)), num_classes)


@published(104_839_830, None, REN, PICTURE)
def fasterrcnn_resnext101_32x8d_fpn(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Faster R-CNN on ResNeXt-101, whose norms are frozen."""
    return faster_rcnn(resnext101_32x8d(**_frozen(backbone)), num_classes)


@published(63_341_297, None, HE_2017, PICTURE)
def maskrcnn_resnet101_fpn(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Mask R-CNN on ResNet-101, whose norms are frozen."""
    return mask_rcnn(resnet101(**_frozen(backbone)), num_classes)


@published(65_351_537, None, LI_2021, PICTURE)
def maskrcnn_resnet101_fpn_v2(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Mask R-CNN of version 2 on ResNet-101, whose norms train as those of the heads do."""
    return mask_rcnn(resnet101(**backbone), num_classes, version=2)


@published(107_485_937, None, HE_2017, PICTURE)
def maskrcnn_resnext101_32x8d_fpn(num_classes: int = 91, **backbone: Any) -> RCNN:
    """Mask R-CNN on ResNeXt-101, whose norms are frozen."""
    return mask_rcnn(resnext101_32x8d(**_frozen(backbone)), num_classes)


@published(78_077_162, None, HE_2017, PICTURE)
def keypointrcnn_resnet101_fpn(num_classes: int = 2, keypoints: int = 17, **backbone: Any) -> RCNN:
    """Keypoint R-CNN on ResNet-101, whose norms are frozen."""
    return keypoint_rcnn(resnet101(**_frozen(backbone)), num_classes, keypoints)


@published(122_221_802, None, HE_2017, PICTURE)
def keypointrcnn_resnext101_32x8d_fpn(
    num_classes: int = 2, keypoints: int = 17, **backbone: Any
) -> RCNN:
    """Keypoint R-CNN on ResNeXt-101, whose norms are frozen."""
    return keypoint_rcnn(resnext101_32x8d(**_frozen(backbone)), num_classes, keypoints)
