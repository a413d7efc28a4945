"""Weights under a detector: a whole detector's, for other classes or the same, or a backbone's."""

import logging
from collections.abc import Mapping
from pathlib import Path

from jresnet.models.block import BOTTLENECK_V1
from jresnet.models.headed import backbone_of, unrolled
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.published import abstract_variables
from jresnet.models.scan import unstack
from jresnet.models.zoo import DETECTRON2
from jresnet.studies.backbone_start import FRESH, Start, backbone_in, refusing
from jresnet.weights import files
from jresnet.weights.conventions import as_detectron2, with_conventions
from jresnet.weights.convert import parts_from_torch
from jresnet.weights.detectors import DETECTRON2_RCNN
from jresnet.weights.matching import Leaves, flat, nested
from jresnet.weights.nets import load_net, run_net

log = logging.getLogger(__name__)

# Last layers, whose size is the number of classes.
BY_CLASS = {("box_head", "classes"), ("box_head", "deltas"), ("mask_head", "classes")}
# The one whose size is the number of keypoints.
BY_POINT = {("keypoint_head", "enlarge")}
_IMAGE = (64, 64, 3)


def read_starts(
    weights: Path, nets: Mapping[str, RCNN], classes: tuple[str, ...]
) -> tuple[dict[str, RCNN], dict[str, Start]]:
    """The weights that each net starts from, and the nets as the weights want them.

    Those of detectron2's detectors want its strides, anchors and RoIAlign, see `as_detectron2`.

    Args:
        weights: a file in torch's layout, or a run's folder.
        nets: the detectors by name.
        classes: names of the classes to learn.
    """
    started = {name: read_start(weights, net, name, classes) for name, net in nets.items()}
    return (
        {name: net for name, (net, _) in started.items()},
        {name: start for name, (_, start) in started.items()},
    )


def as_trained_by_detectron2(
    nets: Mapping[str, RCNN], starts: Mapping[str, Start]
) -> dict[str, RCNN]:
    """The nets with detectron2's anchors and RoIAlign, but for those whose heads have weights.

    These keep the conventions that they were trained with, see `read_starts`.
    """
    changed = dict(nets)
    for name, net in nets.items():
        variables = starts.get(name, FRESH).variables or {}
        if not set(variables.get("params", {})) - {"backbone"}:
            changed[name] = with_conventions(net, DETECTRON2.rounded, DETECTRON2.aligned, False)
    return changed


def read_start(weights: Path, net: RCNN, name: str, classes: tuple[str, ...]) -> tuple[RCNN, Start]:
    """The net as the weights want it, and the weights; a line of the log tells what starts fresh.

    The backbone is taken whole. Of a detector each head is taken whose arrays are those of `net`.
    Its last layer depends on the number of classes, or of keypoints, and is taken where that is the
    same; of a run with other classes the last layers start fresh. Raises UsageError for another
    backbone.
    """
    normalize, names = None, None
    with refusing(weights, name):
        if weights.is_dir():
            loaded = load_net(run_net(weights), {}, weights)
            variables = unstack(loaded.variables)
            if isinstance(loaded.model, RCNN):
                net = conventions_of(loaded.model, net)
            if loaded.recorded is not None:
                normalize, names = loaded.recorded.normalize(), loaded.recorded.classes
        else:
            variables, layout = parts_from_torch(files.load(weights), net, _IMAGE)
            net = as_detectron2(net) if layout is DETECTRON2_RCNN else net
    expected = abstract_variables(unrolled(net), _IMAGE)
    backbone = flat(backbone_in(variables, expected, weights, name))
    heads, fresh = heads_in(flat(variables), flat(expected), names in (None, classes))
    taken = ", ".join(["backbone", *sorted({path[1] for path in heads})])
    new = f"; starting fresh: {', '.join(fresh)}" if fresh else ""
    log.warning("weights=%r: %s taken%s", str(weights), taken, new)
    return net, Start(nested(backbone | heads), normalize)


def heads_in(stored: Leaves, expected: Leaves, same_classes: bool) -> tuple[Leaves, list[str]]:
    """The arrays beside the backbone that a net takes, and the heads and layers that start fresh.

    Args:
        stored: a checkpoint's arrays, canonical.
        expected: the net's, of which the shapes count.
        same_classes: whether last layers may be taken where they fit.
    """
    fits = {
        path
        for path, leaf in expected.items()
        if path in stored
        and stored[path].shape == leaf.shape
        and (same_classes or path[1:3] not in BY_CLASS)
    }
    # A layer's arrays are taken together or not at all, and so are a head's but for its last layers.
    paths = [path for path in expected if path[1] != "backbone"]
    lost = dict.fromkeys(path[1:3] for path in paths if path not in fits)
    last = BY_CLASS | BY_POINT
    new = dict.fromkeys(head for head, layer in lost if (head, layer) not in last)
    taken = {path: stored[path] for path in paths if path[1] not in new and path[1:3] not in lost}
    fresh = [*new, *("/".join(layer) for layer in lost if layer[0] not in new)]
    return taken, fresh


def conventions_of(other: RCNN, net: RCNN) -> RCNN:
    """The net with the strides, anchors and RoIAlign of another one, whose weights it is to take."""
    first = backbone_of(other).branch == BOTTLENECK_V1
    return with_conventions(net, other.settings.rounded, other.settings.aligned, first)
