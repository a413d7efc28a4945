"""Losses of two-stage detectors (arXiv:1506.01497, 1703.06870), with torchvision's numbers.

Means over all that was drawn in the whole batch, in float32. What is not valid, and the targets of
it, reach neither a loss nor a gradient; where nothing is left, a loss is 0 and so is its gradient.
"""

import jax.numpy as jnp
import optax

from jresnet.models.detection.stages import Anchored, HeatMaps, Masks, Regions, Training
from jresnet.tasks.base import Array

BETA = 1 / 9  # torchvision's; 0 is the L1 loss that detectron2 takes


def smooth_l1(difference: Array, beta: float = BETA) -> Array:
    """Half the square over `beta` where below it, elsewhere the absolute value minus half `beta`."""
    size = jnp.abs(difference)
    if beta == 0:
        return size
    return jnp.where(size < beta, 0.5 * jnp.square(difference) / beta, size - 0.5 * beta)


def mean_of(values: Array, counted: Array) -> Array:
    """The mean of the counted values; 0 where there is none."""
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)


def objectness_loss(anchors: Anchored, counted: Array) -> Array:
    """Binary cross-entropy, the mean over the drawn anchors that `counted` says, `[batch, size]`."""
    positive = anchors.assigned.sample.positive
    logits = jnp.where(counted, anchors.logits, 0)
    losses = optax.sigmoid_binary_cross_entropy(logits, positive.astype(logits.dtype))
    return mean_of(losses, counted)


def box_loss(
    deltas: Array, targets: Array, positive: Array, counted: Array, beta: float = BETA
) -> Array:
    """Smooth L1 over the deltas of positives, summed, divided by the number of all drawn boxes.

    Args:
        deltas: predicted ones, float `[..., 4]`.
        targets: true ones; where not positive they may be anything.
        positive: bool `[...]`.
        counted: drawn boxes, bool `[...]`.
        beta: see `smooth_l1`.
    """
    used = (positive & counted)[..., None]
    losses = smooth_l1(jnp.where(used, deltas - targets, 0), beta)
    return losses.sum() / jnp.maximum(counted.sum(), 1)


def classification_loss(logits: Array, classes: Array, counted: Array) -> Array:
    """Cross-entropy in nats, the mean over the drawn regions.

    Args:
        logits: float `[..., classes]`, the background first.
        classes: int `[...]`, 0 for the background.
        counted: drawn regions, bool `[...]`.
    """
    logits = jnp.where(counted[..., None], logits, 0)
    labels = jnp.where(counted, classes, 0)
    return mean_of(optax.softmax_cross_entropy_with_integer_labels(logits, labels), counted)


def region_box_loss(regions: Regions, counted: Array, beta: float = BETA) -> Array:
    """`box_loss` of the deltas of each region's true class."""
    rows = regions.classes[..., None, None]
    deltas = jnp.take_along_axis(regions.deltas, rows, -2)[..., 0, :]
    assigned = regions.assigned
    return box_loss(deltas, assigned.targets, assigned.sample.positive, counted, beta)


def mask_loss(masks: Masks, counted: Array) -> Array:
    """Binary cross-entropy, the mean over all cells of the positives that `counted` says."""
    cells = jnp.broadcast_to(counted[..., None, None], masks.logits.shape)
    logits, targets = (jnp.where(cells, x, 0) for x in (masks.logits, masks.targets))
    return mean_of(optax.sigmoid_binary_cross_entropy(logits, targets), cells)


def keypoint_loss(heat_maps: HeatMaps, counted: Array) -> Array:
    """Cross-entropy over the cells of a map, the mean over the keypoints that are seen."""
    *before, rows, columns, keypoints = heat_maps.logits.shape
    logits = heat_maps.logits.reshape(*before, rows * columns, keypoints)
    return classification_loss(jnp.moveaxis(logits, -1, -2), heat_maps.cells, counted)


def detection_losses(
    output: Training, images: Array | None = None, beta: float = BETA
) -> dict[str, Array]:
    """All losses by name; their sum is what torchvision minimises.

    `objectness` and `rpn_box` of the first stage, `class` and `box` of the second, and `mask` and
    `keypoint` where the net has these heads.

    Args:
        output: the net's, for a batch.
        images: which rows of the batch are images, bool `[batch]`. None: all.
        beta: see `smooth_l1`.
    """

    def real(counted: Array) -> Array:
        if images is None:
            return counted
        row = images.astype(bool).reshape(-1, *(1,) * (counted.ndim - 1))
        return counted & jnp.broadcast_to(row, counted.shape)

    anchors, regions = output.anchors, output.regions
    first, second = (real(stage.assigned.sample.valid) for stage in (anchors, regions))
    drawn = anchors.assigned
    losses = {
        "objectness": objectness_loss(anchors, first),
        "rpn_box": box_loss(anchors.deltas, drawn.targets, drawn.sample.positive, first, beta),
        "class": classification_loss(regions.logits, regions.classes, second),
        "box": region_box_loss(regions, second, beta),
    }
    if output.masks is not None:
        losses["mask"] = mask_loss(output.masks, real(output.masks.counted))
    if output.heat_maps is not None:
        losses["keypoint"] = keypoint_loss(output.heat_maps, real(output.heat_maps.counted))
    return losses
