"""Objects of a batch on the device: the truth for a detector, and its detections."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jresnet.data.augment.geometry import PADDING, Warp, identity
from jresnet.models.detection.assignment import Objects
from jresnet.models.detection.boxes import iou, shares_within
from jresnet.models.detection.proposals import Detections
from jresnet.tasks.base import Array, Batch

# Facts of each image that those who measure need beside boxes and classes.
FACTS = ("crowd", "area", "runs", "original")
HIT = 0.5  # IoU from which a detection is right


def true_objects(batch: Batch) -> Objects:
    """The objects to learn and to find; crowds are padding."""
    classes = batch["class"]
    if "crowd" in batch:
        classes = jnp.where(batch["crowd"].astype(bool), PADDING, classes)
    masks = batch.get("masks")
    if masks is not None:
        masks = masks.astype(jnp.float32) / 255
    return Objects(batch["boxes"], classes, masks, batch.get("frames"), batch.get("keypoints"))


def crowds(batch: Batch) -> Objects | None:
    """The crowds alone, boxes and classes; other objects are padding. None: no image can have one."""
    if "crowd" not in batch:
        return None
    classes = jnp.where(batch["crowd"].astype(bool), batch["class"], PADDING)
    return Objects(batch["boxes"], classes)


def truth_in_original(batch: Batch) -> dict[str, Array]:
    """`true_boxes` and `true_keypoints` in pixels of the original, `true_class`, and `FACTS`."""
    truth = {name: batch[name] for name in FACTS if name in batch}
    for name in ("boxes", "keypoints"):
        if name in batch:
            truth[f"true_{name}"] = in_original(batch[name], batch["place"])
    return truth | {"true_class": batch["class"]}


def detected(detections: Detections) -> dict[str, Array]:
    """Named arrays `[batch, count, ...]`.

    - `boxes` float `[..., 4]`, `scores`, `class` int32, -1 where there is no detection.
    - with a mask head `masks` uint8 `[..., rows, columns]`, the probability in the box times 255.
    - with a keypoint head `keypoints` float `[..., keypoints, 3]`: x, y and the logit there.
    """
    arrays = {
        "boxes": detections.boxes,
        "scores": detections.scores,
        "class": detections.classes,
    }
    if detections.masks is not None:
        arrays["masks"] = jnp.round(255 * detections.masks).astype(jnp.uint8)
    if detections.keypoints is not None and detections.keypoint_scores is not None:
        parts = detections.keypoints, detections.keypoint_scores[..., None]
        arrays["keypoints"] = jnp.concatenate(parts, -1)
    return arrays


def in_original(places: Array, place: Array) -> Array:
    """Boxes `[batch, count, 4]`, or keypoints `[batch, ..., 3]` of which the third number stays.

    `place` is `[batch, 2, 3]`, from (x, y, 1) in pixels of the image to pixels of the original. It
    must not rotate boxes. Padding, which is zeros, stays.
    """
    width = places.shape[-1]
    points = places.reshape(*places.shape[:-1], 2, 2) if width == 4 else places[..., None, :2]
    matrix = place.reshape(len(place), *(1,) * (points.ndim - 3), *place.shape[1:])
    moved = points @ jnp.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
    moved = moved.reshape(*places.shape[:-1], -1)
    moved = jnp.concatenate([moved, places[..., moved.shape[-1] :]], -1)
    return jnp.where((places != 0).any(-1, keepdims=True), moved, 0)


def within(images: Array, sizes: Array) -> Array:
    """Images with zeros outside of the (height, width) of each, `sizes` `[batch, 2]`."""
    y, x = (jnp.arange(side, dtype=sizes.dtype) for side in images.shape[1:3])
    rows, columns = y[None] < sizes[:, :1], x[None] < sizes[:, 1:]
    return jnp.where((rows[:, :, None] & columns[:, None])[..., None], images, 0)


def mirror_images(
    rng: Array, sizes: Array, size: Sequence[int], probabilities: tuple[float, float]
) -> Warp:
    """Left and right, and top and bottom, of each image change places with these probabilities.

    Args:
        rng: a key.
        sizes: (height, width) of each image in its place, `[batch, 2]`: what is mirrored stays in
            the upper left.
        size: (height, width) of the place.
        probabilities: of left and right, and of top and bottom.
    """
    still = identity(len(sizes), (size[0], size[1]))
    matrix = still.matrix
    for axis, probability in enumerate(probabilities):
        drawn = jax.random.bernoulli(jax.random.fold_in(rng, axis), probability, (len(sizes),))
        matrix = matrix.at[:, axis, axis].set(jnp.where(drawn, -1.0, 1.0))
        matrix = matrix.at[:, axis, 2].set(jnp.where(drawn, sizes[:, 1 - axis], 0.0))
    return Warp(matrix, still.size, aligned=True)


def f1(
    detections: Detections, objects: Objects, certain: float, crowds: Objects | None = None
) -> Array:
    """Twice the hits over objects and detections together, of one image; 1 where there is neither.

    Detections of at least `certain` count. An object is hit by a detection of its class with an IoU
    of at least 0.5; one object takes one detection. Detections that hit none and lie by half or more
    in one of the `crowds` of their class do not count.
    """
    counted = detections.valid & (detections.scores >= certain)
    hits = (iou(objects.boxes, detections.boxes) >= HIT) & counted[None]
    hits &= _same_class(objects, detections)
    if crowds is not None:
        inside = shares_within(crowds.boxes, detections.boxes) >= HIT
        inside &= _same_class(crowds, detections)
        counted &= hits.any(0) | ~inside.any(0)
    hit = jnp.minimum(hits.any(1).sum(), hits.any(0).sum())
    number = objects.real.sum() + counted.sum()
    return jnp.where(number > 0, 2 * hit / jnp.maximum(number, 1), 1.0)


def _same_class(objects: Objects, detections: Detections) -> Array:
    """Bool `[objects, detections]`: both are real and of one class."""
    return objects.real[:, None] & (objects.classes[:, None] == detections.classes[None])
