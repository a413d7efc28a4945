"""The stages of Faster, Mask and Keypoint R-CNN around their heads, for a batch of images.

A head of the second stage is a function of regions `[batch, count, 4]` here: it reads the maps.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jresnet.models.detection.assignment import Assigned, Objects, assign_anchors, assign_regions
from jresnet.models.detection.keypoints import decode_heat_maps, heat_map_targets
from jresnet.models.detection.masks import mask_targets
from jresnet.models.detection.proposals import Detections, Proposals, detect, propose
from jresnet.models.detection.settings import Settings

Array = jax.Array
BoxFunction = Callable[[Array], tuple[Array, Array]]
MapFunction = Callable[[Array], Array]


class Heads(NamedTuple):
    """Heads of the second stage; None for those that the net lacks.

    - box: to logits `[batch, count, classes]` and deltas `[batch, count, classes, 4]`.
    - mask: to logits `[batch, count, n, n, classes]`.
    - keypoint: to logits `[batch, count, n, n, keypoints]`.
    """

    box: BoxFunction
    mask: MapFunction | None
    keypoint: MapFunction | None


class Anchored(NamedTuple):
    """Anchors drawn for the losses of the first stage.

    - logits: `[batch, size]`.
    - deltas: `[batch, size, 4]`.
    - assigned: of `[batch, size]` each.
    """

    logits: Array
    deltas: Array
    assigned: Assigned


class Regions(NamedTuple):
    """Regions drawn for the losses of the second stage.

    - boxes: float `[batch, size, 4]` in pixels.
    - classes: int32 `[batch, size]`, 0 for the background.
    - logits: `[batch, size, classes]`.
    - deltas: `[batch, size, classes, 4]`.
    - assigned: of `[batch, size]` each.
    """

    boxes: Array
    classes: Array
    logits: Array
    deltas: Array
    assigned: Assigned


class Masks(NamedTuple):
    """Masks of the regions that are objects: those that `counted` says, bool `[batch, positives]`.

    `logits` of the true class and `targets` in 0 to 1, each `[batch, positives, n, n]`.
    """

    logits: Array
    targets: Array
    counted: Array


class HeatMaps(NamedTuple):
    """Keypoints of the regions that are objects.

    - logits: `[batch, positives, n, n, keypoints]`.
    - cells: the true one, `row * n + column`, int32 `[batch, positives, keypoints]`.
    - counted: bool, of the same shape.
    """

    logits: Array
    cells: Array
    counted: Array


class Training(NamedTuple):
    """All that the losses need; masks and heat maps are None without a head or true ones."""

    anchors: Anchored
    regions: Regions
    masks: Masks | None
    heat_maps: HeatMaps | None


def batch_proposals(
    logits: Sequence[Array],
    deltas: Sequence[Array],
    anchors: Sequence[Array],
    sizes: Array,
    settings: Settings,
    *,
    training: bool,
) -> Proposals:
    """`propose` for a batch, without a gradient."""
    turn = 0 if training else 1

    def one(logits: Sequence[Array], deltas: Sequence[Array], size: Array) -> Proposals:
        return propose(
            logits,
            deltas,
            anchors,
            size,
            before=settings.before[turn],
            after=settings.after[turn],
            threshold=settings.proposal_iou,
        )

    return jax.vmap(one)(*jax.lax.stop_gradient((list(logits), list(deltas))), sizes)


def first_stage(
    keys: Array, logits: Array, deltas: Array, anchors: Array, objects: Objects, settings: Settings
) -> Anchored:
    """Anchors `[anchors, 4]` drawn by one of `keys` an image, with what the head says of them."""

    def one(key: Array, objects: Objects) -> Assigned:
        return assign_anchors(
            key,
            anchors,
            objects,
            low=settings.low,
            high=settings.high,
            size=settings.anchors,
            share=settings.anchor_share,
        )

    assigned = jax.vmap(one)(keys, objects)
    rows = assigned.sample.rows
    picked = jnp.take_along_axis(deltas, rows[..., None], 1)
    return Anchored(jnp.take_along_axis(logits, rows, 1), picked, assigned)


def second_stage(
    keys: Array, proposals: Proposals, objects: Objects, heads: Heads, settings: Settings
) -> tuple[Regions, Masks | None, HeatMaps | None]:
    """Regions drawn by one of `keys` an image, with what the heads say of them."""

    def one(key: Array, proposals: Proposals, objects: Objects) -> tuple[Array, Assigned]:
        return assign_regions(
            key,
            proposals,
            objects,
            overlap=settings.region_iou,
            size=settings.regions,
            share=settings.region_share,
        )

    boxes, assigned = jax.vmap(one)(keys, proposals, objects)
    classes = jnp.take_along_axis(objects.classes, assigned.matched, 1) + 1
    classes = jnp.where(assigned.sample.positive, classes, 0).astype(jnp.int32)
    regions = Regions(boxes, classes, *heads.box(boxes), assigned)

    # Positives come first; the places of those that are missing repeat them.
    slots = jnp.arange(int(settings.regions * settings.region_share))
    positives = assigned.sample.positive.sum(1, keepdims=True)
    rows, counted = slots[None] % jnp.maximum(positives, 1), slots[None] < positives
    boxes = jnp.take_along_axis(boxes, rows[..., None], 1)
    classes, matched = (jnp.take_along_axis(x, rows, 1) for x in (classes, assigned.matched))
    masks = heat_maps = None
    if heads.mask is not None and objects.masks is not None:
        logits = _of_class(heads.mask(boxes), classes)
        size = logits.shape[-1]
        if objects.frames is None:
            crop = jax.vmap(lambda m, b, n: mask_targets(m, b, n, size, None, settings.aligned))
            targets = crop(objects.masks, boxes, matched)
        else:
            crop = jax.vmap(lambda m, b, n, f: mask_targets(m, b, n, size, f, settings.aligned))
            targets = crop(objects.masks, boxes, matched, objects.frames)
        masks = Masks(logits, targets, counted)
    if heads.keypoint is not None and objects.keypoints is not None:
        logits = heads.keypoint(boxes)
        true = jnp.take_along_axis(objects.keypoints, matched[..., None, None], 1)
        cells, seen = jax.vmap(lambda k, b: heat_map_targets(k, b, logits.shape[2]))(true, boxes)
        heat_maps = HeatMaps(logits, cells, seen & counted[..., None])
    return regions, masks, heat_maps


def last_stage(
    proposals: Proposals, sizes: Array, heads: Heads, settings: Settings, longest: int
) -> Detections:
    """Detections `[batch, count]` with masks and keypoints; no box is longer than `longest` pixels."""

    def one(logits: Array, deltas: Array, proposals: Proposals, size: Array) -> Detections:
        return detect(
            logits,
            deltas,
            proposals,
            size,
            score=settings.score,
            threshold=settings.detection_iou,
            limit=settings.detections,
        )

    output = jax.vmap(one)(*heads.box(proposals.boxes), proposals, sizes)
    if heads.mask is not None:
        logits = _of_class(heads.mask(output.boxes), output.classes + 1)
        masks = jnp.where(output.valid[..., None, None], jax.nn.sigmoid(logits), 0)
        output = output._replace(masks=masks)
    if heads.keypoint is not None:
        maps = heads.keypoint(output.boxes)
        # All images in one row: under vmap every box would cost as much as the largest.
        rows = maps.reshape(-1, *maps.shape[2:]), output.boxes.reshape(-1, 4)
        decoded = decode_heat_maps(*rows, longest)
        places, scores = (x.reshape(*maps.shape[:2], *x.shape[1:]) for x in decoded)
        valid = output.valid[..., None]
        output = output._replace(
            keypoints=jnp.where(valid[..., None], places, 0),
            keypoint_scores=jnp.where(valid, scores, 0),
        )
    return output


def _of_class(logits: Array, classes: Array) -> Array:
    """Maps `[batch, count, n, n, classes]` of one class each: `[batch, count, n, n]`."""
    return jnp.take_along_axis(logits, classes[..., None, None, None], -1)[..., 0]
