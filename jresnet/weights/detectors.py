"""Layouts of detectors: torchvision's, with the names of today and of its first checkpoints."""

from jresnet.models.heads.rcnn import RCNN
from jresnet.weights.classifiers import TORCHVISION
from jresnet.weights.forms import BLOCKS, TRANSPOSED, flattened
from jresnet.weights.layout import Table, composed

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
