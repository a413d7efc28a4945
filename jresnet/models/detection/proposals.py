"""From a head's numbers to boxes: proposals of the first stage, detections of the second."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jresnet.models.detection.boxes import ROI_WEIGHTS, clip, decode, extended
from jresnet.models.detection.nms import best, nms

Array = jax.Array


class Proposals(NamedTuple):
    """`boxes` float `[count, 4]` in pixels by falling objectness, and which are `valid`, bool."""

    boxes: Array
    valid: Array


def propose(
    objectness: Sequence[Array],
    deltas: Sequence[Array],
    anchors: Sequence[Array],
    size: Array,
    *,
    before: int,
    after: int,
    threshold: float,
    smallest: float = 1e-3,
) -> Proposals:
    """The proposals of one image (arXiv:1506.01497, section 3.3; level by level as in torchvision).

    Fewer places than `after` where there are fewer anchors. Logits that are NaN propose nothing.

    Args:
        objectness: logits `[anchors]` of each level.
        deltas: `[anchors, 4]` of each level.
        anchors: `[anchors, 4]` of each level, in pixels.
        size: (height, width) of the image in pixels, without padding.
        before: anchors of the highest objectness that a level keeps before suppression.
        after: proposals of all levels together.
        threshold: IoU of suppression, within a level.
        smallest: side in pixels that a proposal has at least.
    """
    levels = []
    for logits, moves, level in zip(objectness, deltas, anchors, strict=True):
        logits = jnp.where(jnp.isnan(logits), -jnp.inf, logits)
        scores, rows = lax.top_k(logits, min(before, len(logits)))
        boxes = clip(decode(moves[rows], level[rows]), size)
        stay = nms(boxes, scores, threshold, extended(boxes, smallest))
        levels.append((jnp.where(stay[:, None], boxes, 0), jnp.where(stay, scores, -jnp.inf)))
    boxes, scores = (jnp.concatenate(parts) for parts in zip(*levels, strict=True))
    scores, rows = lax.top_k(scores, min(after, len(scores)))
    return Proposals(boxes[rows], scores > -jnp.inf)


class Detections(NamedTuple):
    """Objects by falling score, `count` places of which `valid` ones are filled, zeros elsewhere.

    - boxes: float `[count, 4]`, x1 y1 x2 y2 in pixels of the image that the net was given.
    - scores: probabilities, float `[count]`.
    - classes: int32 `[count]` from 0, without the background; -1 where not valid.
    - valid: bool `[count]`.
    - masks: probabilities inside of each box, float `[count, rows, columns]`; see
      `masks.paste_masks`. None without a mask head.
    - keypoints: float `[count, keypoints, 2]`, x y in pixels. None without a keypoint head.
    - keypoint_scores: logits, float `[count, keypoints]`.
    """

    boxes: Array
    scores: Array
    classes: Array
    valid: Array
    masks: Array | None = None
    keypoints: Array | None = None
    keypoint_scores: Array | None = None


def detect(
    logits: Array,
    deltas: Array,
    proposals: Proposals,
    size: Array,
    *,
    score: float,
    threshold: float,
    limit: int,
    smallest: float = 1e-2,
) -> Detections:
    """The objects of one image, each class by itself, as torchvision's `postprocess_detections`.

    Exact, whatever the number of candidates (`nms.best`).

    Args:
        logits: `[proposals, classes]`, the background first.
        deltas: `[proposals, classes, 4]`.
        proposals: where these were read.
        size: (height, width) of the image in pixels, without padding.
        score: probability above which a candidate counts.
        threshold: IoU of suppression, within a class.
        limit: number of detections.
        smallest: side in pixels that a detection has at least.
    """
    count, classes = logits.shape
    probabilities = jax.nn.softmax(logits, -1)[:, 1:].reshape(-1)
    boxes = decode(deltas[:, 1:], proposals.boxes[:, None], ROI_WEIGHTS).reshape(-1, 4)
    boxes = clip(boxes, size)
    kinds = jnp.tile(jnp.arange(classes - 1, dtype=jnp.int32), count)
    valid = jnp.repeat(proposals.valid, classes - 1)
    valid &= (probabilities > score) & extended(boxes, smallest)
    rows, taken = best(boxes, probabilities, threshold, limit, valid, kinds)
    return Detections(
        jnp.where(taken[:, None], boxes[rows], 0),
        jnp.where(taken, probabilities[rows], 0),
        jnp.where(taken, kinds[rows], -1),
        taken,
    )
