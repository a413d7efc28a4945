"""The masks of many objects in a few arrays: run lengths, or polygons not yet drawn."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jresnet.data import runs
from jresnet.data.broken import ExampleError

Mask = tuple[bool, list[np.ndarray]]  # whether it is polygons, and its lists of values


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """The mask of each row: its runs, or polygons that are drawn when they are wanted.

    - values: runs, and corners of polygons in `runs.fifths`, or as shares of the image's sides.
    - parts: where each list of values begins, int64 `[lists + 1]`.
    - rows: where the lists of each row begin, int64 `[rows + 1]`; one of runs, or one a polygon.
    - polygons: whether a row has polygons, bool `[rows]`.
    """

    values: np.ndarray
    parts: np.ndarray
    rows: np.ndarray
    polygons: np.ndarray

    def runs(self, row: int, height: int, width: int) -> np.ndarray:
        """The run lengths of a row in an image of this size, uint32 `[n]`. Raises ExampleError."""
        lists = [
            self.values[self.parts[part] : self.parts[part + 1]]
            for part in range(self.rows[row], self.rows[row + 1])
        ]
        if not self.polygons[row]:
            runs.check(lists[0], height, width)
            return lists[0].astype(np.uint32)
        if self.values.dtype.kind == "f":
            lists = [runs.fifths(one * np.resize((width, height), len(one))) for one in lists]
        return runs.from_polygons(lists, height, width)

    def longest(self, widths: np.ndarray) -> int:
        """A bound of the number of run lengths of any row, close and found without drawing.

        `widths` int `[rows]` are those of the rows' images. The outline of a polygon begins or ends
        a stretch wherever it crosses the middle of a column.
        """
        lists = np.diff(self.rows)
        polygon = np.repeat(self.polygons, lists)
        lengths = np.diff(self.parts)
        longest = int(lengths[~polygon].max(initial=0))
        if not polygon.any():
            return longest
        row = np.repeat(np.repeat(np.arange(len(lists)), lists)[polygon], lengths[polygon] // 2)
        x = self.values[np.repeat(polygon, lengths)][::2]
        if x.dtype.kind == "f":
            x = np.trunc(runs.FIFTHS * x * widths[row] + 0.5).astype(np.int64)
        ends = np.cumsum(lengths[polygon] // 2)
        after = np.roll(x, -1)
        after[ends - 1] = x[np.concatenate([[0], ends[:-1]])]
        low, high = (
            (np.clip(edge, 0, runs.FIFTHS * widths[row]) - runs.FIFTHS // 2 - 1) // runs.FIFTHS
            for edge in (np.minimum(x, after), np.maximum(x, after))
        )
        return max(longest, int(np.bincount(row, high - low).max()) + 1)


def pack(masks: Sequence[Mask | None], relative: bool) -> Masks:
    """The masks of rows, none of which lacks one."""
    present = [mask for mask in masks if mask is not None]
    lists = [values for _, several in present for values in several]
    return Masks(
        np.concatenate(lists or [np.zeros(0)]).astype(np.float64 if relative else np.int32),
        _offsets([len(values) for values in lists]),
        _offsets([len(several) for _, several in present]),
        np.array([polygons for polygons, _ in present], bool),
    )


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def polygons(lists: Sequence[Sequence[float]]) -> Mask:
    """A mask of polygons in pixels. Raises ExampleError."""
    return True, [runs.fifths(corners) for corners in lists]


def bounds(mask: Mask, height: int) -> tuple[float, ...]:
    """The box x1 y1 x2 y2 of a mask in pixels, in an image of this height."""
    drawn, lists = mask
    if not drawn:
        return tuple(runs.bounds(lists[0], height).tolist())
    corners = np.concatenate(lists).reshape(-1, 2) / runs.FIFTHS
    return (*corners.min(0).tolist(), *corners.max(0).tolist())


def stretched(lengths: np.ndarray, height: int, width: int) -> Mask:
    """A mask of run lengths in an image of this size. Raises ExampleError."""
    runs.check(lengths, height, width)
    if not runs.area(lengths):
        raise ExampleError("its mask is empty: expected at least one pixel")
    return False, [lengths]
