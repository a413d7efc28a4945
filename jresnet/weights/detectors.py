"""Layouts of detectors: torchvision's, with the names of today and of its first checkpoints, and
detectron2's model zoo."""

import dataclasses
import logging
from typing import Any

import numpy as np

from jresnet.models.block import BOTTLENECK, BOTTLENECK_V1
from jresnet.models.headed import Headed, backbone_of, with_backbone
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.layers import FrozenBatchNorm
from jresnet.models.part import part
from jresnet.models.zoo.detection import DETECTRON2 as THEIRS
from jresnet.models.zoo.detection import FROZEN
from jresnet.weights.classifiers import DETECTRON2, TORCHVISION
from jresnet.weights.forms import BLOCKS, KERNEL, TRANSPOSED, Form, flattened
from jresnet.weights.layout import Layout, Table, composed

log = logging.getLogger(__name__)

BINS = flattened(7, 7)

_HEADS: Table = {
    "rpn/objectness": "rpn.head.cls_logits",
    "rpn/deltas": "rpn.head.bbox_pred",
    "box_head/conv{n}/conv": "roi_heads.box_head.{n-1}.0",
    "box_head/conv{n}/norm": "roi_heads.box_head.{n-1}.1",
    "box_head/dense1": ("roi_heads.box_head.fc6", BINS),
    "box_head/dense2": "roi_heads.box_head.fc7",
    # The dense layer of version 2 stands after the convolutions and what flattens their map.
    "box_head/dense{n}": ("roi_heads.box_head.{n}", BINS),
    "box_head/classes": "roi_heads.box_predictor.cls_score",
    "box_head/deltas": "roi_heads.box_predictor.bbox_pred",
    "mask_head/enlarge": ("roi_heads.mask_predictor.conv5_mask", BLOCKS),
    "mask_head/classes": "roi_heads.mask_predictor.mask_fcn_logits",
    # An activation after each.
    **{f"keypoint_head/conv{n}/conv": f"roi_heads.keypoint_head.{2 * n - 2}" for n in range(1, 9)},
    "keypoint_head/enlarge": ("roi_heads.keypoint_predictor.kps_score_lowres", TRANSPOSED),
}

TORCHVISION_RCNN = composed(
    "torchvision R-CNN",
    TORCHVISION,
    "backbone.body.",
    {
        **_HEADS,
        "fpn/inner{n}/conv": "backbone.fpn.inner_blocks.{n-1}.0",
        "fpn/inner{n}/norm": "backbone.fpn.inner_blocks.{n-1}.1",
        "fpn/layer{n}/conv": "backbone.fpn.layer_blocks.{n-1}.0",
        "fpn/layer{n}/norm": "backbone.fpn.layer_blocks.{n-1}.1",
        "rpn/conv{n}/conv": "rpn.head.conv.{n-1}.0",
        "mask_head/conv{n}/conv": "roi_heads.mask_head.{n-1}.0",
        "mask_head/conv{n}/norm": "roi_heads.mask_head.{n-1}.1",
    },
    marks=(r"rpn\.head\.conv\.0\.0\.weight",),
    classes="box_head/classes/kernel",
    nets=(RCNN,),
)
# As the published COCO weights of version 1 are stored.
TORCHVISION_RCNN_OLD = composed(
    "torchvision R-CNN before 0.13",
    TORCHVISION,
    "backbone.body.",
    {
        **_HEADS,
        "fpn/inner{n}/conv": "backbone.fpn.inner_blocks.{n-1}",
        "fpn/layer{n}/conv": "backbone.fpn.layer_blocks.{n-1}",
        "rpn/conv1/conv": "rpn.head.conv",
        "mask_head/conv{n}/conv": "roi_heads.mask_head.mask_fcn{n}",
    },
    marks=(r"rpn\.head\.conv\.weight",),
    classes="box_head/classes/kernel",
)


def _last_to_first(theirs: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """detectron2's background is its last class, here it is the first."""
    return np.roll(KERNEL.ours(theirs, shape), 1, -1)


def _first_to_last(ours: np.ndarray) -> np.ndarray:
    return KERNEL.theirs(np.roll(ours, -1, -1))


def _without_background(each: int) -> Form:
    """`each` outputs a class, of which detectron2's background has none; here they are zeros."""

    def ours(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        kernel = KERNEL.ours(value, shape)
        return np.pad(kernel, ((0, 0),) * (kernel.ndim - 1) + ((each, 0),))

    return Form(ours, lambda value: KERNEL.theirs(value[..., each:]))


def _normalised(theirs: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel for blue, green, red less their means, for red, green, blue over their deviations."""
    return KERNEL.ours(theirs, shape)[..., ::-1, :] * _DEVIATIONS[:, None]


def _unnormalised(ours: np.ndarray) -> np.ndarray:
    return KERNEL.theirs((ours / _DEVIATIONS[:, None])[..., ::-1, :])


_DEVIATIONS = np.asarray([0.229, 0.224, 0.225], np.float32) * 255


def _mirrored(value: np.ndarray) -> np.ndarray:
    return value[..., ::-1, :]


_REVERSED = Form(
    lambda theirs, shape: _mirrored(KERNEL.ours(theirs, shape)),
    lambda ours: KERNEL.theirs(_mirrored(ours)),
)
_ROLLED, _STEM = Form(_last_to_first, _first_to_last), Form(_normalised, _unnormalised)
_ROI = "roi_heads."

# Backbones of the model zoo are trained with images less the mean of each channel, blue first.
DETECTRON2_RCNN = composed(
    "detectron2 R-CNN",
    DETECTRON2,
    "backbone.bottom_up.",
    {
        "backbone/stem/conv/kernel": ("backbone.bottom_up.stem.conv1.weight", _STEM),
        "fpn/inner{n}/conv": "backbone.fpn_lateral{n+1}",
        "fpn/layer{n}/conv": "backbone.fpn_output{n+1}",
        "rpn/conv1/conv": "proposal_generator.rpn_head.conv",
        "rpn/objectness": "proposal_generator.rpn_head.objectness_logits",
        "rpn/deltas": "proposal_generator.rpn_head.anchor_deltas",
        "box_head/dense1": (_ROI + "box_head.fc1", BINS),
        "box_head/dense2": _ROI + "box_head.fc2",
        "box_head/classes/kernel": (_ROI + "box_predictor.cls_score.weight", _ROLLED),
        "box_head/classes/bias": (_ROI + "box_predictor.cls_score.bias", _ROLLED),
        "box_head/deltas/kernel": (
            _ROI + "box_predictor.bbox_pred.weight",
            _without_background(4),
        ),
        "box_head/deltas/bias": (_ROI + "box_predictor.bbox_pred.bias", _without_background(4)),
        "mask_head/conv{n}/conv": _ROI + "mask_head.mask_fcn{n}",
        "mask_head/enlarge": (_ROI + "mask_head.deconv", BLOCKS),
        "mask_head/classes/kernel": (
            _ROI + "mask_head.predictor.weight",
            _without_background(1),
        ),
        "mask_head/classes/bias": (_ROI + "mask_head.predictor.bias", _without_background(1)),
        "keypoint_head/conv{n}/conv": _ROI + "keypoint_head.conv_fcn{n}",
        "keypoint_head/enlarge": (_ROI + "keypoint_head.score_lowres", TRANSPOSED),
    },
    marks=(r"proposal_generator\.rpn_head\.conv\.weight",),
    classes="box_head/classes/kernel",
    ignored=(r"proposal_generator\.anchor_generator\..*", r"pixel_(mean|std)"),
)
# Those on ResNeXt are trained with images over the deviations too (PIXEL_STD of its X101 configs).
DETECTRON2_RESNEXT = dataclasses.replace(
    DETECTRON2_RCNN,
    name="detectron2 R-CNN on ResNeXt",
    table={
        **DETECTRON2_RCNN.table,
        "backbone/stem/conv/kernel": ("backbone.bottom_up.stem.conv1.weight", _REVERSED),
    },
)


def tell_conventions(layout: Layout, net: Headed) -> None:
    """Log a line where a detector's weights fit a net whose conventions are another code base's.

    Every array has its shape then and the detections are wrong: detectron2's anchors are not
    rounded, its RoIAlign is shifted by half a pixel, and its bottlenecks stride in their first
    convolution.
    """
    theirs = layout in (DETECTRON2_RCNN, DETECTRON2_RESNEXT)
    if not isinstance(net, RCNN) or not (
        theirs or layout in (TORCHVISION_RCNN, TORCHVISION_RCNN_OLD)
    ):
        return
    branch, other = backbone_of(net).branch, BOTTLENECK if theirs else BOTTLENECK_V1
    grouped = backbone_of(net).groups > 1  # detectron2's ResNeXt strides as torchvision's
    wrong = [
        text
        for text, differs in (
            (f"rounded={net.settings.rounded}", net.settings.rounded is theirs),
            (f"aligned={net.settings.aligned}", net.settings.aligned is not theirs),
            (f"version={1.5 if theirs else 1} of its bottlenecks", branch == other and not grouped),
        )
        if differs
    ]
    if wrong:
        wanted = "DETECTRON2, version=1" if theirs else "TORCHVISION, version=1.5"
        log.warning(
            "weights of %s in a net with %s: expected zoo.detection.%s",
            layout.name,
            ", ".join(wrong),
            wanted,
        )


def as_published(net: Headed, layout: Layout) -> Headed:
    """A detector by the conventions of the code base whose published weights it is to take.

    Those of detectron2 are in `with_conventions`. The frozen norms of torchvision's first detectors
    have an epsilon of 0 (`overwrite_eps` of its builders).
    """
    if not isinstance(net, RCNN):
        return net
    if layout is DETECTRON2_RCNN:
        return with_conventions(net, THEIRS.rounded, THEIRS.aligned, strides_first=True)
    if layout is TORCHVISION_RCNN_OLD and getattr(backbone_of(net), "norm", None) == FROZEN:
        changed: Any = with_backbone(net, norm=part(FrozenBatchNorm, epsilon=0.0))
        return changed
    return net


def with_conventions(net: RCNN, rounded: bool, aligned: bool, strides_first: bool) -> RCNN:
    """The net with other anchors and RoIAlign, and bottlenecks that stride in their first convolution.

    Those of ResNeXt, which are another branch, stay.
    """
    settings = dataclasses.replace(net.settings, rounded=rounded, aligned=aligned)
    if strides_first and backbone_of(net).branch == BOTTLENECK:
        net = with_backbone(net, branch=BOTTLENECK_V1)
    return net.clone(settings=settings)
