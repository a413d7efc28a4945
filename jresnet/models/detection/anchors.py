"""Anchors of a feature pyramid, rounded and ordered as torchvision's."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
RATIOS = (0.5, 1.0, 2.0)  # height over width


def cell_anchors(
    sizes: Sequence[float], ratios: Sequence[float] = RATIOS, rounded: bool = True
) -> np.ndarray:
    """Anchors about the origin, float32 `[ratios * sizes, 4]` in pixels.

    `sizes` are square roots of areas before rounding: torchvision's corners are whole pixels,
    detectron2's are not `rounded`.
    """
    heights = np.sqrt(np.asarray(ratios, np.float32))
    widths = 1 / heights
    scales = np.asarray(sizes, np.float32)
    width, height = (np.outer(side, scales).reshape(-1) for side in (widths, heights))
    anchors = np.stack([-width, -height, width, height], 1) / 2
    return np.round(anchors) if rounded else anchors


def grid_anchors(cells: np.ndarray, size: Sequence[int], strides: Sequence[int]) -> Array:
    """Anchors of a map of `size` (rows, columns): `[rows * columns * len(cells), 4]`.

    Column by column in each row, and all of `cells` at each position: a head's output
    `[rows, columns, cells * k]` reshaped to `[-1, k]` is in the same order.
    """
    y, x = (jnp.arange(n, dtype=jnp.float32) * s for n, s in zip(size, strides, strict=True))
    y, x = jnp.meshgrid(y, x, indexing="ij")
    shifts = jnp.stack([x, y, x, y], -1).reshape(-1, 1, 4)
    return (shifts + jnp.asarray(cells)[None]).reshape(-1, 4)


def pyramid_anchors(
    image: Sequence[int],
    maps: Sequence[Sequence[int]],
    sizes: Sequence[Sequence[float]] | None = None,
    ratios: Sequence[float] = RATIOS,
    rounded: bool = True,
) -> list[Array]:
    """The anchors of each map of a pyramid, `[anchors, 4]` each.

    Args:
        image: (height, width) in pixels, padding included; multiples of 32 (see `RCNN`).
        maps: (rows, columns) of each map. Its stride is the nearest power of two, as detectron2's
            is; with `rounded` torchvision's, the image's side by these, rounded down: 61 instead of
            64 pixels for the 13 rows of the coarsest map of 800.
        sizes: for each map the square roots of the anchors' areas in pixels; by default 8 strides,
            which is 32 to 512 for strides of 4 to 64.
        ratios: heights over widths.
        rounded: whether corners and strides are torchvision's, see `cell_anchors`.

    Raises:
        ValueError: for `sizes` of another number than `maps`.
    """
    if sizes is None:
        sizes = [(8.0 * power_of_two(image, grid),) for grid in maps]
    if len(sizes) != len(maps):
        raise ValueError(f"sizes={tuple(sizes)}: expected {len(maps)} entries, one a map")
    anchors = []
    for grid, row in zip(maps, sizes, strict=True):
        strides = [int(power_of_two(image, grid))] * 2
        if rounded:
            strides = [side // n for side, n in zip(image, grid, strict=True)]
        anchors.append(grid_anchors(cell_anchors(row, ratios, rounded), grid, strides))
    return anchors


def power_of_two(image: Sequence[int], grid: Sequence[int]) -> float:
    """The stride of a map in pixels, as the nearest power of two."""
    # Of the longer side: one row stands for a stride of 64 too where there are 32 pixels.
    axis = int(np.argmax(image))
    return float(2.0 ** np.round(np.log2(image[axis] / grid[axis])))
