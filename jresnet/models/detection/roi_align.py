"""RoIAlign (He et al., arXiv:1703.06870, section 3) with torchvision's numbers, on one map or a pyramid.

Bilinear samples in a box, a mean over those of each bin. Positions along rows and columns do not
depend on each other, so that a bin is a product of two short sums.
"""

import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from jresnet.models.detection.boxes import area

Array = jax.Array
Form = Literal["gather", "einsum"]


def levels_of(boxes: Array, strides: Sequence[float]) -> Array:
    """The map of a pyramid for each box, int32 `[count]` (arXiv:1612.03144, equation 1).

    A box of 224 pixels belongs to stride 16, one half as large to the next finer map.

    Args:
        boxes: float `[count, 4]`.
        strides: of the maps in pixels, powers of two, from fine to coarse.
    """
    octave = jnp.floor(4 + jnp.log2(jnp.sqrt(area(boxes)) / 224) + 1e-6)
    finest, coarsest = math.log2(strides[0]), math.log2(strides[-1])
    return jnp.clip(jnp.nan_to_num(octave, neginf=finest) - finest, 0, coarsest - finest).astype(
        jnp.int32
    )


def roi_align(
    maps: Sequence[Array],
    boxes: Array,
    output: int,
    strides: Sequence[float],
    *,
    sampling: int | None = 2,
    aligned: bool = False,
    form: Form = "gather",
) -> Array:
    """The part of a pyramid that lies in each box: `[count, output, output, channels]`.

    Args:
        maps: float `[rows, columns, channels]` each, from fine to coarse.
        boxes: float `[count, 4]` in pixels of the image.
        output: bins along a side.
        strides: of the maps in pixels.
        sampling: samples along a side of a bin. None takes as many as the bin is long on the map,
            rounded up, as torchvision's -1. Deviation: at most as many as a box twice as long as
            the map needs; boxes longer than that are sampled more coarsely.
        aligned: whether boxes are shifted by half a pixel of the map, as in detectron2. Without it
            sides are at least one pixel of the map, as in torchvision's detectors.
        form: `gather` reads samples one by one; `einsum` multiplies every map with a matrix a box,
            more arithmetic without random access, for TPUs. Both give the same but for rounding.
    """
    level = levels_of(boxes, strides) if len(maps) > 1 else jnp.zeros(len(boxes), jnp.int32)
    shapes = [feature.shape[:2] for feature in maps]
    placed = boxes / jnp.asarray(strides, boxes.dtype)[level][:, None]
    options = (output, sampling, aligned)
    if form == "einsum":
        parts = []
        for number, (feature, (rows, columns)) in enumerate(zip(maps, shapes, strict=True)):
            here = (level == number).astype(placed.dtype)[:, None, None]
            down = _matrices(placed[:, 1], placed[:, 3], rows, *options) * here
            across = _matrices(placed[:, 0], placed[:, 2], columns, *options)
            wide = feature.astype(placed.dtype)
            columns_first = jnp.einsum("nqw,hwc->nhqc", across, wide)
            parts.append(jnp.einsum("nph,nhqc->npqc", down, columns_first))
        return sum(parts[1:], parts[0]).astype(maps[0].dtype)
    size = jnp.asarray(shapes)[level]
    longest = [max(shape[axis] for shape in shapes) for axis in (0, 1)]
    y, down = _samples(placed[:, 1], placed[:, 3], size[:, 0], longest[0], *options)
    x, across = _samples(placed[:, 0], placed[:, 2], size[:, 1], longest[1], *options)
    ends = [0]
    for rows, columns in shapes:
        ends.append(ends[-1] + rows * columns)
    table = jnp.concatenate([feature.reshape(-1, feature.shape[-1]) for feature in maps])
    start, width = jnp.asarray(ends[:-1])[level], size[:, 1]
    total = None
    for row, row_weight in zip(y, down, strict=True):
        for column, column_weight in zip(x, across, strict=True):
            index = start[:, None, None] + row[:, :, None] * width[:, None, None]
            index = index + column[:, None, :]
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            part = table[index] * weight[..., None].astype(table.dtype)
            total = part if total is None else total + part
    assert total is not None
    count, rows, columns, channels = total.shape
    bins = total.reshape(count, output, rows // output, output, columns // output, channels)
    return bins.sum((2, 4))


def _samples(
    low: Array,
    high: Array,
    size: Array,
    longest: int,
    output: int,
    sampling: int | None,
    aligned: bool,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """The two cells beside each sample along one axis, and their weights, `[boxes, samples]` each.

    `low` and `high` are the boxes' ends in cells, `size` the cells of the map, `longest` those of
    the largest map. The weights of a bin's samples have the mean in them: they sum to one.
    """
    start = low - 0.5 if aligned else low
    length = high - low if aligned else jnp.maximum(high - low, 1)
    most = sampling or max(1, math.ceil(2 * longest / output))
    if sampling is None:
        count = jnp.clip(jnp.ceil(length / output), 1, most)
    else:
        count = jnp.full_like(length, sampling)
    place = jnp.arange(output * most)
    bins, inner = (x.astype(length.dtype)[None] for x in (place // most, place % most))
    count, start, length = count[:, None], start[:, None], length[:, None]
    position = start + (bins + (inner + 0.5) / count) * (length / output)
    last = size[:, None].astype(length.dtype) - 1
    counted = (inner < count) & (position >= -1) & (position <= last + 1)
    position = jnp.clip(jnp.where(counted, position, 0), 0, last)
    near = jnp.floor(position)
    share = position - near
    cells = [near, jnp.minimum(near + 1, last)]
    scale = jnp.where(counted, 1 / count, 0)
    weights = ((1 - share) * scale, share * scale)
    return (cells[0].astype(jnp.int32), cells[1].astype(jnp.int32)), weights


def _matrices(
    low: Array, high: Array, size: int, output: int, sampling: int | None, aligned: bool
) -> Array:
    """The weight of each cell of an axis in each bin: `[boxes, output, size]`."""
    sizes = jnp.full(len(low), size)
    cells, weights = _samples(low, high, sizes, size, output, sampling, aligned)
    matrix = jnp.zeros((), low.dtype)
    for cell, weight in zip(cells, weights, strict=True):
        matrix = matrix + jax.nn.one_hot(cell, size, dtype=low.dtype) * weight[..., None]
    return matrix.reshape(len(low), output, matrix.shape[1] // output, size).sum(2)
