"""Masks as COCO's run lengths, on the host.

A mask's pixels are read column by column. Its runs, uint32 `[n]`, are the lengths of the stretches
of zeros and of ones in turn, beginning with zeros, so that the first may be 0. The rules are those
of COCO's own code (`maskApi.c`), polygons to the pixel: https://github.com/cocodataset/cocoapi.
"""

import math
from collections.abc import Sequence

import numpy as np

from jresnet.data.broken import ExampleError

EMPTY = np.zeros(0, np.uint32)
# Corners of polygons are kept in fifths of a pixel: COCO's code draws no finer.
FIFTHS = 5
# Bits a character of a compressed string holds, the bit that says that more follow, and the sign.
_BITS, _MORE, _SIGN, _FIRST = 5, 0x20, 0x10, 48
_LONGEST = 7  # characters of a number: 35 bits


def encode(mask: np.ndarray) -> np.ndarray:
    """The runs of a mask `[H, W]`, whatever is not 0 being inside."""
    inside = np.asarray(mask, bool).T.reshape(-1)
    return _between(np.flatnonzero(np.diff(inside, prepend=False)), inside.size)


def decode(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 `[height, width]` of 0 and 1. Raises ExampleError for another number of pixels."""
    check(runs, height, width)
    return columns(runs, height, 0, width)


def columns(runs: np.ndarray, height: int, first: int, last: int) -> np.ndarray:
    """Columns of a mask from `first` on and before `last`, uint8 `[height, last - first]`."""
    ends = np.clip(np.cumsum(runs, dtype=np.int64), first * height, last * height)
    lengths = np.diff(ends, prepend=first * height)
    values = np.arange(len(lengths), dtype=np.uint8) & 1
    return np.repeat(values, lengths).reshape(last - first, height).T


def check(runs: np.ndarray, height: int, width: int) -> None:
    """Raise ExampleError where the lengths do not add up to the pixels of the image."""
    total = int(np.sum(runs, dtype=np.int64))
    if total != height * width:
        raise ExampleError(
            f"its mask has {total:,} pixels: expected {height * width:,}, {height} x {width}"
        )


def area(runs: np.ndarray) -> int:
    """Number of pixels of a mask."""
    return int(np.sum(runs[1::2], dtype=np.int64))


def stretches(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first pixel of each stretch of ones, and the one after its last, int64 each."""
    ends = np.cumsum(runs, dtype=np.int64)
    first, last = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
    return first[last > first], last[last > first]


def bounds(runs: np.ndarray, height: int) -> np.ndarray:
    """The box that holds a mask's pixels, float32 x1 y1 x2 y2; zeros for an empty mask."""
    first, last = stretches(runs)
    if not len(first):
        return np.zeros(4, np.float32)
    (left, top), (right, low) = (divmod(edge, height) for edge in (first, last - 1))
    # A stretch over several columns reaches from the uppermost row to the lowest.
    whole = right > left
    top, low = np.where(whole, 0, top), np.where(whole, height - 1, low)
    return np.array([left.min(), top.min(), right.max() + 1, low.max() + 1], np.float32)


def union(masks: Sequence[np.ndarray]) -> np.ndarray:
    """The runs of the pixels that are in any of several masks of one size."""
    if len(masks) == 1:
        return masks[0]
    size = int(np.sum(masks[0], dtype=np.int64))
    edges, steps = [], []
    for runs in masks:
        first, last = stretches(runs)
        edges += [first, last]
        steps += [np.ones(len(first), np.int64), -np.ones(len(last), np.int64)]
    edge, which = np.unique(np.concatenate(edges), return_inverse=True)
    depth = np.cumsum(np.bincount(which, np.concatenate(steps), len(edge))) > 0.5
    return _between(edge[np.diff(depth, prepend=False)], size)


def from_string(text: str | bytes) -> np.ndarray:
    """Runs from COCO's compressed string. Raises ExampleError for one that is damaged."""
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - _FIRST
    if not len(codes):
        raise ExampleError("its compressed mask is empty: expected run lengths")
    last = np.flatnonzero(codes & _MORE == 0)
    starts = np.concatenate([[0], last[:-1] + 1])
    lengths = last - starts + 1 if len(last) else np.array([len(codes)])
    if ((codes < 0) | (codes >= 64)).any() or codes[-1] & _MORE or lengths.max() > _LONGEST:
        raise ExampleError("its compressed mask is damaged: expected a string of run lengths")
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & (_MORE - 1)) << (_BITS * place), starts)
    numbers -= np.where(codes[last] & _SIGN, np.int64(1) << (_BITS * lengths), 0)
    # From the fourth on they are differences to the last but one.
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return from_lengths(numbers)


def to_string(runs: np.ndarray) -> str:
    """COCO's compressed string."""
    numbers = np.asarray(runs, np.int64)
    numbers = np.concatenate([numbers[:3], numbers[3:] - numbers[1:-2]])
    characters = []
    for number in numbers.tolist():
        more = True
        while more:
            code = number & (_MORE - 1)
            number >>= _BITS
            more = number != (-1 if code & _SIGN else 0)
            characters.append(code + _FIRST + (_MORE if more else 0))
    return bytes(characters).decode("ascii")


def from_lengths(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Runs from a list of lengths. Raises ExampleError for one that is not of such numbers."""
    try:
        numbers = np.asarray(lengths, np.float64)
    except (ValueError, TypeError, OverflowError):
        numbers = np.zeros(0)
    whole = numbers.ndim == 1 and len(numbers) and (numbers == np.floor(numbers)).all()
    if not whole or not 0 <= numbers.min() <= numbers.max() < 1 << 31:
        raise ExampleError("its run lengths are damaged: expected a list of numbers from 0 on")
    return numbers.astype(np.uint32)


def fifths(corners: Sequence[float] | np.ndarray) -> np.ndarray:
    """The corners of a polygon, x y x y ..., in fifths of a pixel, int32. Raises ExampleError.

    Polygons have at least three corners, and numbers that are finite.
    """
    try:
        numbers = np.asarray(corners, np.float64)
    except (ValueError, TypeError):
        numbers = np.full(1, np.nan)
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or len(numbers) % 2:
        raise ExampleError("its polygon is damaged: expected pairs of numbers, x and y")
    if len(numbers) < 6:
        raise ExampleError(f"its polygon has {len(numbers) // 2} points: expected at least 3")
    limit = 1 << 24
    return np.trunc(np.clip(FIFTHS * numbers + 0.5, -limit, limit)).astype(np.int32)


def from_polygons(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """The runs of the pixels in any of several polygons, each of `fifths`."""
    return union([from_polygon(polygon, height, width) for polygon in polygons])


def from_polygon(polygon: np.ndarray, height: int, width: int) -> np.ndarray:
    """The runs of a polygon of `fifths`: they begin and end where its outline crosses columns."""
    x, y = _outline(polygon)
    # A step along x; it crosses a column's centre where its left end is 2 (modulo 5).
    step = np.flatnonzero(x[1:] != x[:-1]) + 1
    left = np.minimum(x[step], x[step - 1])
    step, left = (values[left % FIFTHS == FIFTHS // 2] for values in (step, left))
    column = left // FIFTHS
    step, column = (values[(column >= 0) & (column < width)] for values in (step, column))
    row = -(-(np.minimum(y[step], y[step - 1]) - FIFTHS // 2) // FIFTHS)
    edges = np.sort(column * height + np.clip(row, 0, height))
    # Where two begin or end at one place, nothing does.
    edge, count = np.unique(edges, return_counts=True)
    edge = edge[(count % 2 == 1) & (edge < height * width)]
    return _between(edge, height * width)


def _outline(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every place on the edges in turn, int64, in steps of 1 along the longer axis."""
    xs, ys = polygon.astype(np.int64).reshape(-1, 2).T
    xe, ye = np.roll(xs, -1), np.roll(ys, -1)
    dx, dy = np.abs(xe - xs), np.abs(ye - ys)
    flat = dx >= dy
    # From the lower end along the longer axis, so that both directions round alike.
    flip = np.where(flat, xs > xe, ys > ye)
    x0, x1, y0, y1 = (np.where(flip, *pair) for pair in ((xe, xs), (xs, xe), (ye, ys), (ys, ye)))
    length = np.maximum(dx, dy)
    slope = np.where(flat, y1 - y0, x1 - x0) / np.maximum(length, 1)
    edge = np.repeat(np.arange(len(xs)), length + 1)
    place = np.arange(len(edge)) - np.repeat(np.cumsum(length + 1) - length - 1, length + 1)
    place = np.where(flip[edge], length[edge] - place, place)
    across = np.trunc(np.where(flat, y0, x0)[edge] + slope[edge] * place + 0.5).astype(np.int64)
    along = np.where(flat, x0, y0)[edge] + place
    return np.where(flat[edge], along, across), np.where(flat[edge], across, along)


def _between(edges: np.ndarray, size: int) -> np.ndarray:
    """Runs from the places where ones begin and end in turn, ascending, of `size` pixels."""
    inner = edges[edges < size]
    return np.diff(np.concatenate([[0], inner, [size]])).astype(np.uint32)


def cropped(
    runs: np.ndarray, height: int, width: int, box: np.ndarray | Sequence[float], cells: int
) -> np.ndarray:
    """The part of a mask in a box, uint8 `[cells, cells]`: the covered share of each, 255 for all.

    Args:
        runs: a mask of `height` x `width` pixels.
        height: pixels of the image.
        width: pixels of the image.
        box: x1 y1 x2 y2 in pixels, with an area; outside of the image nothing is covered.
        cells: cells along either side of the box.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box)
    left, right = _within(x1, x2, width)
    top, low = _within(y1, y2, height)
    part = columns(runs, height, left, right)[top:low].astype(np.float32)
    shares = _shares(y1, y2, cells, top, low) @ part @ _shares(x1, x2, cells, left, right).T
    return np.rint(255 * shares).clip(0, 255).astype(np.uint8)


def _within(low: float, high: float, size: int) -> tuple[int, int]:
    """The first pixel of a side of an image that an interval meets, and the one after the last."""
    first = min(max(math.floor(low), 0), size)
    return first, max(first, min(math.ceil(high), size))


def _shares(low: float, high: float, cells: int, first: int, last: int) -> np.ndarray:
    """The share of each pixel in each of the cells between two places, float32 [cells, pixels]."""
    edges = np.linspace(low, high, cells + 1)[:, None]
    pixels = np.arange(first, last)[None]
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return (overlap.clip(0) * cells / (high - low)).astype(np.float32)
