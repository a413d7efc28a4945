"""The detectors of the study."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.detection.settings import Settings
from jresnet.models.headed import backbone_of
from jresnet.models.heads.fpn import FPN
from jresnet.models.heads.maps import ConvNormAct
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.heads.regions import BoxHead, KeypointHead, MaskHead, RPNHead
from jresnet.models.norms import BatchNorm, GroupNorm
from jresnet.models.part import part
from jresnet.models.resnet import ResNet
from jresnet.models.stem import Stem, StemConv
from jresnet.recipes.detection import Kind

SmallName = Literal["small", "cifar_resnet20"]
NetName = Literal["small", "cifar_resnet20", "resnet50", "resnet101", "resnext101_32x8d"]
SMALL_NAMES: tuple[SmallName, ...] = get_args(SmallName)
NormName = Literal["frozen", "batch", "group"]
NORMS = {"frozen": zoo.FROZEN, "batch": part(BatchNorm), "group": part(GroupNorm)}

# Numbers of the small net: anchors of four strides, few regions.
SMALL = Settings(
    anchor_sizes=((16.0,), (32.0,), (64.0,), (128.0,)),
    rounded=False,
    aligned=True,
    anchors=64,
    before=(300, 300),
    after=(150, 150),
    regions=64,
    region_share=0.5,
)


def small_backbone(depth: int = 14) -> ResNet:
    """Two strided convolutions and three stages of n basic blocks: 6n + 2 layers, strides 4 to 16."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise UsageError(f"depth={depth}: expected 6n + 2, such as 8, 14 or 38")
    stem = part(Stem, convs=(StemConv(16, 3, 2), StemConv(32, 3, 2)), pool=None)
    return ResNet((blocks,) * 3, BASIC, widths=(32, 64, 128), strides=(1, 2, 2), stem=stem)


def cifar_backbone() -> ResNet:
    """CIFAR's ResNet-20, whose first convolution and first stage have a stride of 2: strides 4 to 16.

    Strides change no array, so that the weights of the net for images of 32 pixels fit.
    """
    stem = part(Stem, convs=(StemConv(16, 3, 2),), pool=None)
    return backbone_of(zoo.cifar_resnet(20, stem=stem, strides=(2, 2, 2)))


def small(backbone: ResNet, num_classes: int, kind: Kind, points: int = 0, most: int = 50) -> RCNN:
    """A detector for small pictures and small machines, on a backbone with strides from 4 to 16.

    A pyramid of 64 channels with strides from 4 to 32, and BatchNorm in all heads, since it starts
    from random weights. `most` is the number of detections of an image, of which there are three
    times as many proposals; `num_classes` has no background.
    """
    layer = part(ConvNormAct)
    fields: dict[str, Any] = {"features": 64, "layer": layer}
    heads = {
        "boxes": {},
        "masks": {"mask": part(MaskHead, convolutions=2, **fields)},
        "keypoints": {"keypoint": part(KeypointHead, keypoints=points, convolutions=2, **fields)},
    }[kind]
    return RCNN(
        backbone,
        num_classes + 1,
        fpn=part(FPN, features=64, layer=layer),
        rpn=part(RPNHead, layer=layer),
        box=part(BoxHead, convolutions=1, dense=1, units=128, **fields),
        settings=crowded(SMALL, most),
        **heads,
    )


def crowded(settings: Settings, most: int) -> Settings:
    """Settings for images with up to `most` detections; more than 50 need more proposals."""
    (learnt_before, before), (learnt, after) = settings.before, settings.after
    return dataclasses.replace(
        settings,
        detections=most,
        before=(learnt_before, max(before, 6 * most)),
        after=(learnt, max(after, 3 * most)),
    )


def build(
    name: NetName,
    num_classes: int,
    kind: Kind,
    points: int = 0,
    *,
    depth: int | None = None,
    version: int | None = None,
    norm: NormName | None = None,
    most: int = 100,
) -> RCNN:
    """A net by name. Raises UsageError for an argument that it does not have.

    Args:
        name: small, or its heads on CIFAR's ResNet-20, or a backbone of torchvision's detectors.
        num_classes: number of classes, without the background.
        kind: what is detected beside boxes.
        points: keypoints of an object.
        depth: layers of the backbone of net small.
        version: 1 or 2, see `zoo.detection`; by default 1. The two small nets have no choice.
        norm: frozen as by default, of the whole batch, or of groups of channels (arXiv:1803.08494).
        most: number of detections of an image.
    """
    if depth is not None and name != "small":
        raise UsageError(f"depth={depth}: expected none, net {name} has no choice")
    if name in SMALL_NAMES:
        for argument, value in (("version", version), ("norm", norm)):
            if value is not None:
                raise UsageError(f"{argument}={value}: expected none, net {name} has no choice")
        layers = 14 if depth is None else depth
        backbone = small_backbone(layers) if name == "small" else cifar_backbone()
        return small(backbone, num_classes, kind, points, most)
    if kind == "keypoints" and version == 2:
        raise UsageError(f"version={version}: expected 1, with keypoints")
    net = getattr(zoo, name)(norm=NORMS[norm or "frozen"])
    settings = Settings(detections=most)
    if kind == "keypoints":
        return zoo.keypoint_rcnn(net, num_classes + 1, points, settings=settings)
    detector = zoo.mask_rcnn if kind == "masks" else zoo.faster_rcnn
    return detector(net, num_classes + 1, version=version or 1, settings=settings)


def family(
    name: NetName,
    num_classes: int,
    kind: Kind,
    points: int,
    depths: Sequence[int],
    version: int | None,
    norm: NormName | None,
    most: int,
    plain: bool,
) -> dict[str, RCNN]:
    """The detectors of a study by their titles; `plain` adds the twins without shortcuts.

    The other arguments are those of `build`, with several depths of net small. Raises UsageError.
    """
    if depths and name != "small":
        numbers = " ".join(map(str, depths))
        raise UsageError(f"depths={numbers}: expected none, net {name} has no choice")
    nets: dict[str, RCNN] = {}
    for depth in (depths or (14,)) if name == "small" else (None,):
        title = name if depth is None else f"{name}-{depth}"
        net = build(
            name, num_classes, kind, points, depth=depth, version=version, norm=norm, most=most
        )
        nets[title] = net
        if plain:
            nets[f"plain {title}"] = zoo.plain(net)
    return nets
