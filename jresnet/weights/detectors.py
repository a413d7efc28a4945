"""Layouts of detectors: torchvision's, with the names of today and of its first checkpoints, and
detectron2's model zoo."""

import dataclasses

import numpy as np

from jresnet.models.headed import Headed, backbone_of
from jresnet.models.heads.rcnn import RCNN
from jresnet.weights.classifiers import DETECTRON2, TORCHVISION
from jresnet.weights.forms import BLOCKS, KERNEL, TRANSPOSED, Form, flattened
from jresnet.weights.layout import Layout, Table, composed

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
_RPN, _ROI = "proposal_generator.rpn_head.", "roi_heads."

# Backbones of the model zoo are trained with images less the mean of each channel, blue first. Two of
# Misc/, scratch_mask_rcnn_R_50_FPN_9x_gn and 9x_syncbn, are an exception that no name tells: theirs
# are over the deviations as well, so that they need `layout=DETECTRON2_RESNEXT`.
DETECTRON2_RCNN = composed(
    "detectron2 R-CNN",
    DETECTRON2,
    "backbone.bottom_up.",
    {
        "backbone/stem/conv/kernel": ("backbone.bottom_up.stem.conv1.weight", _STEM),
        "fpn/inner{n}/conv": "backbone.fpn_lateral{n+1}",
        "fpn/inner{n}/norm": "backbone.fpn_lateral{n+1}.norm",
        "fpn/layer{n}/conv": "backbone.fpn_output{n+1}",
        "fpn/layer{n}/norm": "backbone.fpn_output{n+1}.norm",
        "rpn/conv1/conv": _RPN + "conv",
        "rpn/objectness": _RPN + "objectness_logits",
        "rpn/deltas": _RPN + "anchor_deltas",
        "box_head/conv{n}/conv": _ROI + "box_head.conv{n}",
        "box_head/conv{n}/norm": _ROI + "box_head.conv{n}.norm",
        "box_head/dense1": (_ROI + "box_head.fc1", BINS),
        "box_head/dense2": _ROI + "box_head.fc2",
        # Ours are numbered on from the convolutions, of which there are four or none.
        "box_head/dense5": (_ROI + "box_head.fc1", BINS),
        "box_head/dense6": _ROI + "box_head.fc2",
        "box_head/classes/kernel": (_ROI + "box_predictor.cls_score.weight", _ROLLED),
        "box_head/classes/bias": (_ROI + "box_predictor.cls_score.bias", _ROLLED),
        "box_head/deltas/kernel": (
            _ROI + "box_predictor.bbox_pred.weight",
            _without_background(4),
        ),
        "box_head/deltas/bias": (_ROI + "box_predictor.bbox_pred.bias", _without_background(4)),
        "mask_head/conv{n}/conv": _ROI + "mask_head.mask_fcn{n}",
        "mask_head/conv{n}/norm": _ROI + "mask_head.mask_fcn{n}.norm",
        "mask_head/enlarge": (_ROI + "mask_head.deconv", BLOCKS),
        "mask_head/classes/kernel": (
            _ROI + "mask_head.predictor.weight",
            _without_background(1),
        ),
        "mask_head/classes/bias": (_ROI + "mask_head.predictor.bias", _without_background(1)),
        "keypoint_head/conv{n}/conv": _ROI + "keypoint_head.conv_fcn{n}",
        "keypoint_head/enlarge": (_ROI + "keypoint_head.score_lowres", TRANSPOSED),
    },
    marks=(r"proposal_generator\.rpn_head\.conv\.(conv0\.)?weight",),
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


def of_detector(layout: Layout, net: Headed) -> Layout:
    """The form that a layout of detectron2 has for a net; any other as it is.

    On ResNeXt the stem is another. Several convolutions of the first stage's head lie in a
    Sequential there, as `conv.conv0`.
    """
    if layout is DETECTRON2_RCNN and getattr(backbone_of(net), "groups", 1) > 1:
        layout = DETECTRON2_RESNEXT
    if layout not in (DETECTRON2_RCNN, DETECTRON2_RESNEXT) or not isinstance(net, RCNN):
        return layout
    if getattr(net.rpn(1, parent=None), "convolutions", 1) == 1:
        return layout
    table = {path: value for path, value in layout.table.items() if path != "rpn/conv1/conv"}
    return dataclasses.replace(layout, table=table | {"rpn/conv{n}/conv": _RPN + "conv.conv{n-1}"})
