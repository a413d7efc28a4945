"""Lines, marks and masks drawn into pictures so that they are seen on any ground."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from jresnet.report.colours import rgb

Point = tuple[float, float]
SOLID: tuple[float, ...] = ()
DASHED, DOTTED = (4.0, 2.5), (1.0, 1.5)  # lengths of line and gap, in widths of the line
_SEEN = 3.0  # contrast of a graphic that is seen without an edge (WCAG 2, 1.4.11)
_FILL = 0.35  # how far a mask's colour covers the picture


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A line's colour "#rrggbb", its dash, its width in pixels, and the edge around it, if any."""

    colour: str
    dash: tuple[float, ...] = SOLID
    width: int = 2
    edge: tuple[int, int, int] | None = None

    def on(self, ground: float, width: int) -> "Stroke":
        """The same in a width, with an edge where the colour is not seen on a ground's luminance."""
        light, dark = sorted((luminance(rgb(self.colour)), ground))[::-1]
        seen = (light + 0.05) / (dark + 0.05) >= _SEEN
        edge = None if seen else contrast(self.colour)
        return dataclasses.replace(self, width=width, edge=edge)


def luminance(colour: Sequence[float]) -> float:
    """Relative luminance of red, green, blue from 0 to 255: 0 for black, 1 for white (WCAG 2)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour: str) -> tuple[int, int, int]:
    """Black or white, the one that is read on this colour."""
    return (0, 0, 0) if luminance(rgb(colour)) > 0.179 else (255, 255, 255)


def line(pen: ImageDraw.ImageDraw, points: Sequence[Point], stroke: Stroke) -> None:
    """A line through points, with its edge below it."""
    width = stroke.width
    parts = [
        part
        for start, end in itertools.pairwise(points)
        for part in _dashes(start, end, [width * length for length in stroke.dash])
    ]
    for colour, wide in ((stroke.edge, width + 2), (rgb(stroke.colour), width)):
        for start, end in parts if colour is not None else ():
            pen.line((*start, *end), fill=colour, width=wide)


def box(pen: ImageDraw.ImageDraw, corners: Sequence[float], stroke: Stroke) -> None:
    """A rectangle x1 y1 x2 y2, in pixels, its line inside of it."""
    half = stroke.width / 2
    (left, right), (top, bottom) = (sorted((corners[i], corners[i + 2])) for i in (0, 1))
    left, top = left + half, top + half
    right, bottom = max(left, right - half), max(top, bottom - half)
    path = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    # Each side reaches over its corners, which are whole then.
    for (x1, y1), (x2, y2) in itertools.pairwise(path):
        x, y = half * np.sign(x2 - x1), half * np.sign(y2 - y1)
        line(pen, [(x1 - x, y1 - y), (x2 + x, y2 + y)], stroke)


def dot(pen: ImageDraw.ImageDraw, place: Point, stroke: Stroke, hollow: bool = False) -> None:
    """A keypoint: a disk, or a ring for one that is hidden."""
    x, y = place
    edge = stroke.edge or contrast(stroke.colour)
    for radius, colour in (
        (1.5 * stroke.width + 1, edge),
        (1.5 * stroke.width, rgb(stroke.colour)),
        (0.7 * stroke.width, edge),
    ):
        if hollow or radius > stroke.width:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _dashes(start: Point, end: Point, dash: Sequence[float]) -> list[tuple[Point, Point]]:
    """The parts of a line that are drawn; the whole without a dash."""
    length = math.dist(start, end)
    if not dash or length == 0:
        return [(start, end)]
    drawn, gap = dash
    # Dashes are stretched so that the line ends as it begins.
    count = max(1, round((length + gap) / (drawn + gap)))
    period = (length + gap) / count
    ends = [(i * period, (i + 1) * period - gap) for i in range(count)]
    (x1, y1), (x2, y2) = start, end
    across, down = (x2 - x1) / length, (y2 - y1) / length
    return [((x1 + a * across, y1 + a * down), (x1 + b * across, y1 + b * down)) for a, b in ends]


def filled(picture: np.ndarray, mask: np.ndarray, stroke: Stroke) -> np.ndarray:
    """A picture, uint8 `[h, w, 3]`, with a mask's pixels tinted and the mask's rim in full colour.

    The mask, bool `[H, W]`, is brought to the picture's size. Pixels of the rim lie in the mask.
    """
    size = picture.shape[1], picture.shape[0]
    mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return picture
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colour, inside = np.array(rgb(stroke.colour), np.float32), mask[part]
    core = inside
    for _ in range(stroke.width):
        grown = np.pad(core, 1)
        core = core & grown[:-2, 1:-1] & grown[2:, 1:-1] & grown[1:-1, :-2] & grown[1:-1, 2:]
    share = np.where(core, _FILL, np.where(inside, 1.0, 0.0)).astype(np.float32)[..., None]
    result = picture.copy()
    result[part] = np.rint(share * colour + (1 - share) * picture[part])
    return result
