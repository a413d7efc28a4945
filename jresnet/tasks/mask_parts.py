"""Masks of objects in an image, each kept as the rectangle that holds it."""

import dataclasses

import numpy as np

from jresnet.data import runs

_FAR = 1e7  # pixels from an image where nothing differs any more


@dataclasses.dataclass(frozen=True)
class MaskPart:
    """A mask that is empty outside of `pixels`, bool `[h, w]`, whose corner is at `top`, `left`."""

    top: int
    left: int
    pixels: np.ndarray
    area: int

    def intersection(self, other: "MaskPart") -> int:
        """The number of pixels that are in both."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.pixels.shape[0], other.top + other.pixels.shape[0])
        right = min(self.left + self.pixels.shape[1], other.left + other.pixels.shape[1])
        if top >= bottom or left >= right:
            return 0
        one, two = (
            part.pixels[top - part.top : bottom - part.top, left - part.left : right - part.left]
            for part in (self, other)
        )
        return int(np.count_nonzero(one & two))

    def whole(self, height: int, width: int) -> np.ndarray:
        """The mask of the whole image, bool `[height, width]`."""
        mask = np.zeros((height, width), bool)
        rows, columns = self.pixels.shape
        mask[self.top : self.top + rows, self.left : self.left + columns] = self.pixels
        return mask


def _part(top: int, left: int, pixels: np.ndarray) -> MaskPart:
    return MaskPart(top, left, pixels, int(np.count_nonzero(pixels)))


def from_runs(lengths: np.ndarray, height: int, width: int) -> MaskPart:
    """A mask from COCO's run lengths: column by column, zeros first, filled up with 0 at the end.

    Without any pixel, not even of the background, it is empty. Raises ValueError for run lengths
    of an image of another size.
    """
    if (total := int(lengths.sum(dtype=np.int64))) not in (0, height * width):
        raise ValueError(f"runs: expected {height * width} pixels in all, got {total}")
    first, last = runs.stretches(lengths)
    if not first.size:
        return _part(0, 0, np.zeros((0, 0), bool))
    left, right = int(first[0]) // height, (int(last[-1]) - 1) // height + 1
    pixels = runs.columns(lengths, height, left, right) > 0
    rows = np.flatnonzero(pixels.any(1))
    top = int(rows[0])
    return _part(top, left, np.ascontiguousarray(pixels[top : rows[-1] + 1]))


def pasted(
    mask: np.ndarray, box: np.ndarray, height: int, width: int, threshold: float = 0.5
) -> MaskPart:
    """A predicted mask in its image: the pixels above `threshold`.

    The host's form of `models.detection.masks.paste_masks`, of the box's part of the image only.

    Args:
        mask: probabilities in the box, `[rows, columns]`, float or uint8, of which 255 is 1.
        box: float `[4]` in pixels of the image. One that is not finite has an empty mask.
        height: pixels of the image.
        width: pixels of the image.
        threshold: from 0 to 1.
    """
    if not np.isfinite(box).all():
        return _part(0, 0, np.zeros((0, 0), bool))
    box = np.clip(box, -_FAR, _FAR)
    values = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.float32)
    values[1:-1, 1:-1] = mask
    if mask.dtype == np.uint8:
        values /= 255
    top, near, after, share = _interpolation(box[1], box[3], mask.shape[0], height)
    rows = values[near] * (1 - share)[:, None] + values[after] * share[:, None]
    left, near, after, share = _interpolation(box[0], box[2], mask.shape[1], width)
    pixels = rows.take(near, 1) * (1 - share) + rows.take(after, 1) * share
    return _part(top, left, pixels > threshold)


def _interpolation(
    low: float, high: float, cells: int, size: int
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """The first pixel of a box inside of the image, and between which cells each of its pixels is.

    The mask has a ring of zeros, with which the box grows. Each pixel lies between two of the
    `cells + 2`, int `[pixels]`, as far from the first to the second as the share, float32 `[pixels]`.
    """
    begin, side = np.float32(low), np.float32(high) - np.float32(low)
    centre = begin + np.float32(0.5) * side
    half = np.float32(0.5) * side * np.float32((cells + 2) / cells)
    # Towards zero, both corners included.
    first, last = int(centre - half), int(centre + half)
    length = max(last - first + 1, 1)
    start, end = max(first, 0), min(first + length, size)
    pixel = np.arange(start, end) - first
    position = np.maximum((pixel + 0.5) * ((cells + 2) / length) - 0.5, 0).astype(np.float32)
    near = np.minimum(position.astype(np.int64), cells + 1)
    return start, near, np.minimum(near + 1, cells + 1), position - near.astype(np.float32)
