"""The training examples of a detector: anchors and regions drawn for the losses, with their targets."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jresnet.models.detection.boxes import ROI_WEIGHTS, RPN_WEIGHTS, encode, extended, iou
from jresnet.models.detection.matching import match
from jresnet.models.detection.proposals import Proposals
from jresnet.models.detection.sampling import Sample, sample

Array = jax.Array


class Objects(NamedTuple):
    """The true objects of an image, padded to a fixed count; of a batch with `[batch]` before.

    - boxes: float `[count, 4]`, x1 y1 x2 y2 in pixels of the image that the net is given.
    - classes: int `[count]` from 0, without the background; -1 for padding.
    - masks: `[count, rows, columns]` in 0 to 1, or None.
    - frames: the part of the image that each mask covers, `[count, 4]`; None: the whole image.
    - keypoints: float `[count, keypoints, 3]`, x y in pixels and visibility, or None.
    """

    boxes: Array
    classes: Array
    masks: Array | None = None
    frames: Array | None = None
    keypoints: Array | None = None

    @property
    def real(self) -> Array:
        """Bool `[count]`: the rows that are objects; a box without area is none."""
        return (self.classes >= 0) & extended(self.boxes)


class Assigned(NamedTuple):
    """Candidates drawn for a loss, `[size]` each; see `sampling.Sample` for the first.

    - sample: which candidates.
    - matched: the object of each, int32; 0 where there is none.
    - targets: deltas from candidate to object, float `[size, 4]`; zeros where there is none.
    """

    sample: Sample
    matched: Array
    targets: Array


def assign_anchors(
    key: Array,
    anchors: Array,
    objects: Objects,
    *,
    low: float = 0.3,
    high: float = 0.7,
    size: int = 256,
    share: float = 0.5,
) -> Assigned:
    """Anchors `[anchors, 4]` of an image that the first stage learns from (arXiv:1506.01497, 3.1.2).

    Args:
        key: of this image.
        anchors: in pixels.
        objects: of one image.
        low: IoU below which an anchor is background.
        high: IoU from which it is an object; the best anchor of an object is one in any case.
        size: number of anchors.
        share: largest share of objects.
    """
    overlaps = iou(objects.boxes, anchors)
    matched = match(overlaps, objects.real, low=low, high=high, allow_low_quality=True)
    drawn = sample(key, matched, size, share)
    return _targets(drawn, matched, anchors, objects.boxes, RPN_WEIGHTS)


def assign_regions(
    key: Array,
    proposals: Proposals,
    objects: Objects,
    *,
    overlap: float = 0.5,
    size: int = 512,
    share: float = 0.25,
) -> tuple[Array, Assigned]:
    """Regions that the second stage learns from, float `[size, 4]`, and what they are assigned.

    Drawn from the proposals and the objects themselves (arXiv:1504.08083, section 2.3).

    Args:
        key: of this image.
        proposals: of one image.
        objects: of the same image.
        overlap: IoU from which a region is an object; below it is background.
        size: number of regions.
        share: largest share of objects.
    """
    boxes = jnp.concatenate([proposals.boxes, objects.boxes])
    valid = jnp.concatenate([proposals.valid, objects.real])
    overlaps = iou(objects.boxes, boxes)
    matched = match(overlaps, objects.real, low=overlap, high=overlap, candidates=valid)
    drawn = sample(key, matched, size, share)
    return boxes[drawn.rows], _targets(drawn, matched, boxes, objects.boxes, ROI_WEIGHTS)


def _targets(
    drawn: Sample,
    matched: Array,
    candidates: Array,
    boxes: Array,
    weights: tuple[float, float, float, float],
) -> Assigned:
    mine = jnp.maximum(matched[drawn.rows], 0)
    targets = encode(boxes[mine], candidates[drawn.rows], weights)
    return Assigned(drawn, mine, jnp.where(drawn.positive[:, None], targets, 0))
