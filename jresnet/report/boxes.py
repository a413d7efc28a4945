"""Pictures with detected objects drawn into them: boxes, masks, keypoints, and a label each."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from jresnet.report import strokes
from jresnet.report.colours import BLUE, ORANGE, VERMILION
from jresnet.report.drawing import LARGEST, as_rgb, cut, enlarged, font
from jresnet.report.label_maps import class_colours
from jresnet.report.labels import Label, draw_labels
from jresnet.report.strokes import DASHED, DOTTED, Stroke

SMALLEST = 900  # pixels of a drawing's longer side, about: room for labels
# The meanings of `compared`: a colour and a line each, for those who see no colours.
HIT, WRONG, MISSED = Stroke(BLUE), Stroke(VERMILION, DASHED), Stroke(ORANGE, DOTTED)
LEGEND = ((HIT, "detected"), (WRONG, "false positive"), (MISSED, "missed"))
_ROW, _SAMPLE, _MARGIN, _NARROWEST = 26, 36, 10, 240  # pixels of the legend


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Objects of one picture, in its pixels.

    - `boxes`: `[n, 4]`, x1 y1 x2 y2. One that is not finite is not drawn.
    - `classes`: int `[n]`.
    - `scores`: `[n]`; None for truth.
    - `masks`: bool `[H, W]` each; None for none.
    - `keypoints`: `[n, K, 2 or 3]`, x, y and maybe the visibility: 0 is left out, 1, hidden, a
      ring; None for none.
    """

    boxes: np.ndarray
    classes: np.ndarray
    scores: np.ndarray | None = None
    masks: Sequence[np.ndarray] | None = None
    keypoints: np.ndarray | None = None

    def keep(self, rows: np.ndarray) -> "Shapes":
        """Those of the rows, bool or int."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        return Shapes(
            self.boxes[rows],
            self.classes[rows],
            None if self.scores is None else self.scores[rows],
            None if self.masks is None else [self.masks[row] for row in rows.tolist()],
            None if self.keypoints is None else self.keypoints[rows],
        )

    def score(self, row: int) -> str:
        """An object's score; "" for truth."""
        return "" if self.scores is None else f"{self.scores[row]:.2f}"


def drawn(
    picture: np.ndarray,
    shapes: Shapes,
    names: Sequence[str] = (),
    edges: Sequence[tuple[int, int]] = (),
    each: bool = False,
) -> np.ndarray:
    """A picture with its objects, uint8 `[h, w, 3]`; a small one is enlarged first.

    Args:
        picture: uint8 `[H, W, 1 or 3]`.
        shapes: the objects, the most important first.
        names: of the classes.
        edges: pairs of keypoints to be joined by a line.
        each: a colour an object, for many of one class; otherwise a colour a class.
    """
    numbers = np.arange(len(shapes.classes)) if each else np.maximum(shapes.classes, 0)
    colours = class_colours(1 + int(numbers.max(initial=-1)))
    styles = [Stroke(colours[number]) for number in numbers.tolist()]
    return _drawn(picture, shapes, styles, names, edges)


def compared(
    picture: np.ndarray,
    truth: Shapes,
    detections: Shapes,
    partners: np.ndarray,
    names: Sequence[str] = (),
    edges: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """A picture with its hits, false positives and missed objects, and a legend that counts them.

    Args:
        picture: uint8 `[H, W, 1 or 3]`.
        truth: the true objects, without crowds.
        detections: those that count, the surest first.
        partners: the true object of each detection, int `[detections]`, -1 for none.
        names: of the classes.
        edges: pairs of keypoints to be joined by a line.

    Returns:
        uint8 `[h, w, 3]`.
    """
    missed = np.ones(len(truth.classes), bool)
    missed[partners[partners >= 0]] = False
    count = np.count_nonzero(missed)
    # Mistakes first: their labels get the best places, and their lines lie on top.
    wrong = detections.keep(partners < 0)
    hits = detections.keep(partners >= 0)
    groups = [(truth.keep(missed), MISSED), (wrong, WRONG), (hits, HIT)]
    canvas, scale = _canvas(picture)
    labels: list[list[Label]] = []
    for shapes, stroke in reversed(groups):
        canvas, some = _shapes(canvas, scale, shapes, [stroke] * len(shapes.boxes), names, edges)
        labels.insert(0, some)
    canvas = _widened(_labelled(canvas, [label for some in labels for label in some]))
    counts = len(hits.boxes), len(wrong.boxes), count
    legend = [(stroke, f"{meaning} {n}") for (stroke, meaning), n in zip(LEGEND, counts, strict=True)]  # fmt: skip
    return np.concatenate([canvas, _legend(legend, canvas.shape[1])])


def _drawn(
    picture: np.ndarray,
    shapes: Shapes,
    styles: Sequence[Stroke],
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
) -> np.ndarray:
    canvas, scale = _canvas(picture)
    return _labelled(*_shapes(canvas, scale, shapes, styles, names, edges))


def _canvas(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture at a size that shows labels, and the factors of x and y."""
    pixels = enlarged(as_rgb(picture), SMALLEST)
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    canvas = np.asarray(image)
    return canvas, np.array([canvas.shape[1] / picture.shape[1], canvas.shape[0] / picture.shape[0]])  # fmt: skip


def _shapes(
    canvas: np.ndarray,
    scale: np.ndarray,
    shapes: Shapes,
    styles: Sequence[Stroke],
    names: Sequence[str],
    edges: Sequence[tuple[int, int]],
) -> tuple[np.ndarray, list[Label]]:
    """The objects in the picture, the first one on top, and their labels."""
    width = max(2, round(max(canvas.shape[:2]) / 300))
    ground = strokes.luminance(np.median(canvas[::4, ::4], (0, 1)).tolist())
    styles = [style.on(ground, width) for style in styles]
    rows = np.flatnonzero(np.isfinite(shapes.boxes).all(-1)).tolist()
    if shapes.masks is not None:
        for row in reversed(rows):
            canvas = strokes.filled(canvas, shapes.masks[row], styles[row])
    image = Image.fromarray(canvas)
    pen, labels = ImageDraw.Draw(image), []
    high, wide = canvas.shape[:2]
    for row in reversed(rows):
        # Far outside there is nothing to see, and dashes without end.
        box = np.clip(shapes.boxes[row] * np.tile(scale, 2), -4, [wide + 4, high + 4] * 2)
        strokes.box(pen, box.tolist(), styles[row])
        if shapes.keypoints is not None:
            _keypoints(pen, shapes.keypoints[row], scale, styles[row], edges)
        corners = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        number, score = int(shapes.classes[row]), shapes.score(row)
        name = names[number] if 0 <= number < len(names) else str(number)
        # In a crowd of one class its name says nothing, in one of several the score says less.
        short = score if len(names) == 1 else name
        labels.insert(0, Label(name, score, short, styles[row].colour, corners))
    return np.asarray(image), labels


def _keypoints(
    pen: ImageDraw.ImageDraw,
    points: np.ndarray,
    scale: np.ndarray,
    stroke: Stroke,
    edges: Sequence[tuple[int, int]],
) -> None:
    places = (points[:, :2] * scale).tolist()
    seen = points[:, 2] if points.shape[1] > 2 else np.full(len(points), 2)
    real = (seen > 0) & np.isfinite(points[:, :2]).all(1)
    stroke = dataclasses.replace(stroke, dash=strokes.SOLID)
    for one, other in edges:
        if real[one] and real[other]:
            strokes.line(pen, [tuple(places[one]), tuple(places[other])], stroke)
    for number in np.flatnonzero(real).tolist():
        strokes.dot(pen, tuple(places[number]), stroke, hollow=seen[number] == 1)


def _labelled(canvas: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    image = Image.fromarray(canvas)
    draw_labels(ImageDraw.Draw(image), labels, image.size)
    return np.asarray(image)


def _widened(canvas: np.ndarray) -> np.ndarray:
    """A narrow picture with white at its right, so that a legend has room."""
    room = max(0, _NARROWEST - canvas.shape[1])
    return np.pad(canvas, ((0, 0), (0, room), (0, 0)), constant_values=255)


def _legend(entries: Sequence[tuple[Stroke, str]], width: int) -> np.ndarray:
    """A strip with a sample of each line and its meaning, in as many rows as it takes."""
    letters = font()
    places, x, row = [], _MARGIN, 0
    for _, text in entries:
        length = _SAMPLE + 8 + letters.getlength(text)
        if x > _MARGIN and x + length + _MARGIN > width:
            x, row = _MARGIN, row + 1
        places.append((x, row * _ROW + _ROW / 2))
        x += length + 2 * _MARGIN
    strip = Image.new("RGB", (width, (row + 1) * _ROW), "white")
    pen = ImageDraw.Draw(strip)
    for (stroke, text), (left, y) in zip(entries, places, strict=True):
        sample = stroke.on(1.0, 3)
        strokes.line(pen, [(left, y), (left + _SAMPLE, y)], sample)
        room = width - left - _SAMPLE - 8
        pen.text((left + _SAMPLE + 8, y), cut(text, room), "black", letters, anchor="lm")
    return np.asarray(strip)
