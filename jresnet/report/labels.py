"""Labels beside boxes, placed so that none covers another, and objects as little as can be."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from jresnet.report.colours import rgb
from jresnet.report.drawing import cut, font
from jresnet.report.strokes import contrast
from jresnet.text import shown

Rectangle = tuple[float, float, float, float]
_PAD = 2  # pixels around a label's text
_STEPS = 3  # how many labels away from its box a label goes
_LONGEST = 140  # pixels of a name
_CROWDED = 0.12  # share of the picture that labels cover before they are shortened
_HIDDEN = 0.5  # share of an object that no label hides
_NEXT = 0.01  # what a place farther down in the order costs, in shares of an object


@dataclasses.dataclass(frozen=True)
class Label:
    """A name and maybe a score for a box, x1 y1 x2 y2 in pixels, on a ground "#rrggbb".

    `short` stands in a crowded picture, "" for nothing there.
    """

    name: str
    score: str
    short: str
    colour: str
    box: Rectangle


def draw_labels(
    pen: ImageDraw.ImageDraw, labels: Sequence[Label], size: tuple[int, int]
) -> list[Rectangle | None]:
    """Write labels into a picture of that (width, height), the first ones at the best places.

    Returns where each stands, None where there is no room for it.
    """
    letters = font()
    ascent, descent = letters.getmetrics()

    def sizes(texts: Sequence[str]) -> list[tuple[float, float]]:
        return [(letters.getlength(text) + 2 * _PAD, ascent + descent) for text in texts]

    texts = [_full(label, size[0] - 2 * _PAD) for label in labels]
    room = sum(width * height for width, height in sizes(texts))
    if room > _CROWDED * size[0] * size[1]:
        texts = [cut(shown(label.short), _LONGEST) for label in labels]
    places: list[Rectangle | None] = [None] * len(labels)
    written = [number for number, text in enumerate(texts) if text]
    boxes = np.array([label.box for label in labels], np.float64).reshape(-1, 4)
    chosen = placed(boxes, written, sizes([texts[number] for number in written]), size)
    for number, place in zip(written, chosen, strict=True):
        places[number] = place
        if place is None:
            continue
        left, top, right, bottom = place
        pen.rectangle((left, top, right - 1, bottom - 1), fill=rgb(labels[number].colour))
        ink = contrast(labels[number].colour)
        pen.text((left + _PAD, top), texts[number], ink, letters)
    return places


def _full(label: Label, longest: float) -> str:
    """The name, cut if it is long, and the score."""
    tail = f" {label.score}" if label.score else ""
    room = min(_LONGEST, longest - font().getlength(tail))
    return cut(shown(label.name), room) + tail


def placed(
    boxes: np.ndarray,
    labelled: Sequence[int],
    sizes: Sequence[tuple[float, float]],
    size: tuple[int, int],
) -> list[Rectangle | None]:
    """A place for each label: of those that are free the one that hides least; None for none.

    Args:
        boxes: of all objects, float `[n, 4]`.
        labelled: the rows of `boxes` that the labels belong to, in the order of their choice.
        sizes: width and height of each label.
        size: width and height of the picture.
    """
    areas = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1.0)
    taken = np.zeros((0, 4))
    result: list[Rectangle | None] = []
    for row, label in zip(labelled, sizes, strict=True):
        places = _candidates(boxes[row], label, size)
        free = ~(overlap(places, taken) > 0).any(1)
        hidden = overlap(places, boxes) / areas
        allowed = free & (hidden.max(1) <= _HIDDEN)
        # A box with nothing around it has its label in any case.
        if not allowed.any():
            others = np.delete(hidden, row, 1).max(1, initial=0)
            allowed = free & (others <= _HIDDEN)
        if not allowed.any():
            result.append(None)
            continue
        cost = hidden.sum(1) + _NEXT * np.arange(len(places))
        place = places[int(np.where(allowed, cost, np.inf).argmin())]
        taken = np.concatenate([taken, place[None]])
        left, top, right, bottom = place.tolist()
        result.append((left, top, right, bottom))
    return result


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The areas that rectangles `[n, 4]` and `[m, 4]` share, `[n, m]`."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return np.maximum(high - low, 0).prod(-1)


def _candidates(box: np.ndarray, label: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Places for a label from the best to the worst, all inside of the picture: `[n, 4]`.

    Above the box, below it, inside of it; then the same at its right end and in its middle; then
    farther up and down, and beside it.
    """
    (left, right), (top, bottom) = (sorted((box[i], box[i + 2])) for i in (0, 1))
    width, height = label
    columns = [left, right - width, (left + right - width) / 2]
    pairs = list(itertools.product(columns, [top - height, bottom, top, bottom - height]))
    pairs += itertools.product([left - width, right], [top, (top + bottom - height) / 2])
    for step in range(1, _STEPS + 1):
        further = [top + step * height, top - (step + 1) * height, bottom + step * height]
        pairs += itertools.product(columns, further)
    wanted = np.array(pairs)
    inside = np.clip(wanted, 0, np.maximum(np.subtract(size, label), 0))
    # A place that would have to be pushed far is none of its own; the first one always is.
    near = np.asarray((np.abs(inside - wanted) <= (width, 0.5)).all(1))
    near[0] = True
    return np.concatenate([inside[near], inside[near] + label], 1)
