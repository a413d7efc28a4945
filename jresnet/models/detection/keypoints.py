"""Keypoints as heat maps over boxes (He et al., arXiv:1703.06870, section 5), with torchvision's numbers."""

import functools

import jax
import jax.numpy as jnp

from jresnet.models.detection.boxes import extended, sides

Array = jax.Array
CUBIC = -0.75  # torch's coefficient of bicubic interpolation
SMALLEST = 64  # pixels of the smallest canvas that a heat map is enlarged on


def heat_map_targets(keypoints: Array, boxes: Array, size: int) -> tuple[Array, Array]:
    """The cell of each keypoint, int32 `[count, keypoints]`, and which ones count.

    A cell is `row * size + column`. A point on the right or lower edge is in the last cell; those
    outside of their box, or with visibility 0, do not count and are in cell 0. Nor do those of a
    box without area.

    Args:
        keypoints: float `[count, keypoints, 3]`: x, y in pixels of the image, and visibility.
        boxes: float `[count, 4]` in pixels of the image.
        size: cells along a side.
    """
    whole = extended(boxes)
    boxes = jnp.where(whole[:, None], boxes, jnp.asarray([[0, 0, 1, 1]], boxes.dtype))
    cells = []
    for axis in (0, 1):
        place, low, high = keypoints[..., axis], boxes[:, axis, None], boxes[:, axis + 2, None]
        scaled = (place - low) * (size / (high - low))
        cells.append(jnp.where(place == high, size - 1, jnp.floor(scaled)))
    x, y = cells
    counted = (x >= 0) & (x < size) & (y >= 0) & (y < size) & (keypoints[..., 2] > 0)
    counted &= whole[:, None]
    return jnp.where(counted, y * size + x, 0).astype(jnp.int32), counted


def decode_heat_maps(maps: Array, boxes: Array, longest: int) -> tuple[Array, Array]:
    """The place of each keypoint, float `[count, keypoints, 2]` x y in pixels, and its score.

    As torchvision: each map is interpolated to the whole pixels of its box, bicubic, and the centre
    of the first largest pixel is the place; the score `[count, keypoints]` is the logit there.

    A box is enlarged on the smallest canvas that holds it, of 64, 128, 256 pixels and so on: its cost
    is that of its own size. Under `jax.vmap` it is that of all canvases: put images one after the
    other instead, as `last_stage` does.

    Args:
        maps: logits, float `[count, rows, columns, keypoints]`.
        boxes: float `[count, 4]` in pixels of the image.
        longest: pixels that the sides of a box have at most. Larger boxes are searched in their
            first `longest` rows and columns only.
    """

    canvases = [SMALLEST]
    while canvases[-1] < longest:
        canvases.append(2 * canvases[-1])
    canvases = [min(canvas, longest) for canvas in canvases]
    searches = [functools.partial(_peak, canvas) for canvas in canvases]

    def place(row: tuple[Array, Array]) -> tuple[Array, Array]:
        logits, box = row
        length = jnp.maximum(jnp.stack(sides(box)), 1)
        pixels = jnp.ceil(length)
        number = (jnp.asarray(canvases[:-1], pixels.dtype) < pixels.max()).sum()
        cell, score = jax.lax.switch(number, searches, logits, pixels)
        return (cell + 0.5) * (length / pixels)[None] + box[None, :2], score

    return jax.lax.map(place, (maps, boxes))


def _peak(canvas: int, logits: Array, pixels: Array) -> tuple[Array, Array]:
    """The highest of the first `pixels` (columns, rows) of an enlarged map, x y, and its logit.

    Float `[keypoints, 2]` and `[keypoints]`; only `canvas` rows and columns are searched.
    """
    down = _bicubic(pixels[1], canvas, logits.shape[0])
    across = _bicubic(pixels[0], canvas, logits.shape[1])
    full = jnp.einsum("yr,rck,xc->kyx", down, logits, across)
    inside = jnp.arange(canvas, dtype=pixels.dtype)
    outside = (inside[:, None] >= pixels[1]) | (inside[None] >= pixels[0])
    full = jnp.where(outside[None], -jnp.inf, full).reshape(logits.shape[-1], -1)
    peak = full.argmax(1)
    cell = jnp.stack([peak % canvas, peak // canvas], -1)
    return cell.astype(pixels.dtype), full.max(1)


def _bicubic(pixels: Array, longest: int, cells: int) -> Array:
    """The weight of each cell in each of the first `pixels` pixels of an axis: `[longest, cells]`."""
    position = (jnp.arange(longest, dtype=pixels.dtype) + 0.5) * (cells / pixels) - 0.5
    first = jnp.floor(position)
    weights = jnp.zeros((), pixels.dtype)
    for offset in (-1, 0, 1, 2):
        distance = jnp.abs(position - first - offset)
        near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
        far = ((distance - 5) * distance + 8) * distance * CUBIC - 4 * CUBIC
        cell = jnp.clip(first + offset, 0, cells - 1).astype(jnp.int32)
        hot = jax.nn.one_hot(cell, cells, dtype=pixels.dtype)
        weights = weights + hot * jnp.where(distance <= 1, near, far)[:, None]
    return weights
