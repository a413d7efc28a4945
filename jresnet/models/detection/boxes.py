"""Boxes x1 y1 x2 y2 in pixels: overlap, the coder of Faster R-CNN, clipping."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

Array = jax.Array
Weights = tuple[float, float, float, float]

# Sizes are decoded to at most 1000 / 16 times the anchor's, as in Detectron and torchvision.
LARGEST_LOG = math.log(1000 / 16)
RPN_WEIGHTS: Weights = (1.0, 1.0, 1.0, 1.0)
ROI_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)


def sides(boxes: Array) -> tuple[Array, Array]:
    """Widths and heights, each `[...]`, of boxes `[..., 4]`."""
    return boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]


def area(boxes: Array) -> Array:
    """Areas `[...]` of boxes `[..., 4]` in pixels; 0 for a box with swapped corners."""
    width, height = sides(boxes)
    return jnp.maximum(width, 0) * jnp.maximum(height, 0)


def extended(boxes: Array, smallest: float = 0.0) -> Array:
    """Bool `[...]`: the boxes that are finite, with both sides positive and at least `smallest` pixels."""
    width, height = sides(boxes)
    wide = (width > 0) & (height > 0) & (width >= smallest) & (height >= smallest)
    return wide & jnp.isfinite(boxes).all(-1)


def iou(a: Array, b: Array) -> Array:
    """Intersection over union of `[n, 4]` and `[m, 4]`: `[n, m]`, 0 where a box has no area."""
    overlap, union = _overlap(a, b)
    # A union that is NaN is not above 0.
    return jnp.where(union > 0, overlap / jnp.where(union > 0, union, 1), 0)


def shares_within(a: Array, b: Array) -> Array:
    """The share of each of `[m, 4]` boxes `b` that lies in each of `a` `[n, 4]`: `[n, m]`, 0 where a
    box has no area."""
    overlap, whole = _between(a, b, jnp.maximum, jnp.minimum), area(b)[None]
    return jnp.where(whole > 0, overlap / jnp.where(whole > 0, whole, 1), 0)


def generalized_iou(a: Array, b: Array) -> Array:
    """IoU minus the empty share of the box around both (arXiv:1902.09630): `[n, m]`, -1 to 1."""
    overlap, union = _overlap(a, b)
    hull = _between(a, b, jnp.minimum, jnp.maximum)
    share = jnp.where(hull > 0, (hull - union) / jnp.where(hull > 0, hull, 1), 0)
    return jnp.where(union > 0, overlap / jnp.where(union > 0, union, 1), 0) - share


def _overlap(a: Array, b: Array) -> tuple[Array, Array]:
    """Areas of intersection and union, each `[n, m]`."""
    overlap = _between(a, b, jnp.maximum, jnp.minimum)
    return overlap, area(a)[:, None] + area(b)[None] - overlap


def _between(a: Array, b: Array, low: Callable[..., Array], high: Callable[..., Array]) -> Array:
    """Areas `[n, m]` between the `low` of the upper left corners and the `high` of the others."""
    width, height = (
        high(a[:, None, axis + 2], b[None, :, axis + 2]) - low(a[:, None, axis], b[None, :, axis])
        for axis in (0, 1)
    )
    return jnp.maximum(width, 0) * jnp.maximum(height, 0)


def encode(boxes: Array, anchors: Array, weights: Weights = RPN_WEIGHTS) -> Array:
    """The deltas `[..., 4]` that turn anchors into boxes (Girshick et al., arXiv:1311.2524, appendix C).

    Deviation from torchvision: a pair in which either has no area gives zeros, not infinities, so
    that a target which nothing counts stays out of the gradients as well.
    """
    usable = extended(boxes) & extended(anchors)
    safe = jnp.asarray([0, 0, 1, 1], boxes.dtype)
    safe = jnp.broadcast_to(safe, boxes.shape)
    boxes, anchors = (jnp.where(usable[..., None], x, safe) for x in (boxes, anchors))
    (width, height), (own_width, own_height) = sides(anchors), sides(boxes)
    x, y = centres(anchors)
    own_x, own_y = centres(boxes)
    deltas = [
        weights[0] * (own_x - x) / width,
        weights[1] * (own_y - y) / height,
        weights[2] * jnp.log(own_width / width),
        weights[3] * jnp.log(own_height / height),
    ]
    return jnp.where(usable[..., None], jnp.stack(deltas, -1), 0)


def decode(deltas: Array, anchors: Array, weights: Weights = RPN_WEIGHTS) -> Array:
    """Boxes `[..., 4]`: anchors moved and scaled by `deltas`; sizes by a factor of at most 1000 / 16."""
    dx, dy, dw, dh = (deltas[..., i] / weight for i, weight in enumerate(weights))
    dw, dh = jnp.minimum(dw, LARGEST_LOG), jnp.minimum(dh, LARGEST_LOG)
    width, height = sides(anchors)
    x, y = centres(anchors)
    x, y = dx * width + x, dy * height + y
    half_width, half_height = 0.5 * jnp.exp(dw) * width, 0.5 * jnp.exp(dh) * height
    corners = [x - half_width, y - half_height, x + half_width, y + half_height]
    return jnp.stack(corners, -1)


def centres(boxes: Array) -> tuple[Array, Array]:
    """x and y of the centres, each `[...]`."""
    width, height = sides(boxes)
    return boxes[..., 0] + 0.5 * width, boxes[..., 1] + 0.5 * height


def clip(boxes: Array, size: Array) -> Array:
    """Boxes `[..., 4]` with corners inside of an image of `size` (height, width) in pixels."""
    height, width = size[0], size[1]
    limits = jnp.stack([width, height, width, height]).astype(boxes.dtype)
    limits = jnp.broadcast_to(limits, boxes.shape)
    return jnp.minimum(jnp.maximum(boxes, 0), limits)
