"""Conventions of the code base whose weights a detector takes: anchors, RoIAlign, strides, epsilons."""

import dataclasses
import logging
from typing import Any

from jresnet.models.block import BOTTLENECK, BOTTLENECK_V1
from jresnet.models.headed import Headed, backbone_of, with_backbone
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.layers import FrozenBatchNorm
from jresnet.models.norms import GroupNorm
from jresnet.models.part import part
from jresnet.models.zoo.detection import DETECTRON2 as THEIRS
from jresnet.models.zoo.detection import FROZEN
from jresnet.weights.detectors import (
    DETECTRON2_RCNN,
    DETECTRON2_RESNEXT,
    TORCHVISION_RCNN,
    TORCHVISION_RCNN_OLD,
)
from jresnet.weights.layout import Layout

log = logging.getLogger(__name__)


def tell_conventions(layout: Layout, net: Headed) -> None:
    """Log a line where a detector's weights fit a net whose conventions are another code base's.

    Every array has its shape then and the detections are wrong: detectron2's anchors are not
    rounded, nor are their strides, its RoIAlign is shifted by half a pixel, and its bottlenecks
    stride in their first convolution, but for those of GroupNorm.
    """
    theirs = layout in (DETECTRON2_RCNN, DETECTRON2_RESNEXT)
    if not isinstance(net, RCNN) or not (
        theirs or layout in (TORCHVISION_RCNN, TORCHVISION_RCNN_OLD)
    ):
        return
    branch = backbone_of(net).branch
    first = theirs and strides_first(net)
    grouped = backbone_of(net).groups > 1  # detectron2's ResNeXt strides as torchvision's
    other = BOTTLENECK if first else BOTTLENECK_V1
    wrong = [
        text
        for text, differs in (
            (f"rounded={net.settings.rounded}", net.settings.rounded is theirs),
            (f"aligned={net.settings.aligned}", net.settings.aligned is not theirs),
            (f"version={1.5 if first else 1} of its bottlenecks", branch == other and not grouped),
        )
        if differs
    ]
    if wrong:
        wanted = f"{'DETECTRON2' if theirs else 'TORCHVISION'}, version={1 if first else 1.5}"
        log.warning(
            "weights of %s in a net with %s: expected zoo.detection.%s",
            layout.name,
            ", ".join(wrong),
            wanted,
        )


def as_published(net: Headed, layout: Layout) -> Headed:
    """A detector by the conventions of the code base whose published weights it is to take.

    Those of detectron2 are in `as_detectron2`. The frozen norms of torchvision's first detectors
    have an epsilon of 0 (`overwrite_eps` of its builders).
    """
    if not isinstance(net, RCNN):
        return net
    if layout is DETECTRON2_RCNN:
        return as_detectron2(net)
    if layout is TORCHVISION_RCNN_OLD and getattr(backbone_of(net), "norm", None) == FROZEN:
        changed: Any = with_backbone(net, norm=part(FrozenBatchNorm, epsilon=0.0))
        return changed
    return net


def as_detectron2(net: RCNN) -> RCNN:
    """The net as detectron2's model zoo has it: strides, anchors and RoIAlign."""
    return with_conventions(net, THEIRS.rounded, THEIRS.aligned, strides_first(net))


def strides_first(net: RCNN) -> bool:
    """Whether detectron2's nets with these norms stride in the first convolution of a bottleneck.

    Those of GroupNorm do not (STRIDE_IN_1X1 of Misc/mask_rcnn_R_50_FPN_3x_gn.yaml).
    """
    return not isinstance(backbone_of(net).norm(parent=None), GroupNorm)


def with_conventions(net: RCNN, rounded: bool, aligned: bool, strides_first: bool) -> RCNN:
    """The net with other anchors and RoIAlign, and bottlenecks that stride in their first convolution.

    Those of ResNeXt, which are another branch, stay.
    """
    settings = dataclasses.replace(net.settings, rounded=rounded, aligned=aligned)
    if strides_first and backbone_of(net).branch == BOTTLENECK:
        net = with_backbone(net, branch=BOTTLENECK_V1)
    return net.clone(settings=settings)
