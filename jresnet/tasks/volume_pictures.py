"""Results of segmented volumes for people: pictures of slices, and classes in millilitres."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.report.label_maps import with_legend
from jresnet.report.volumes import as_bytes, fullest, sheet
from jresnet.tasks.case import Case, Column, Picture, Prediction

LEGEND = 320  # pixels beside a drawing
COLUMNS = Column("class"), Column("ml", right=True), Column("share", right=True)


def shown(results: Mapping[str, np.ndarray], case: Case, colours: Sequence[str]) -> Picture:
    """Image, truth and prediction side by side, in the slices with the most of the true classes.

    Padding and other ignored borders are cut away.
    """
    truth, labels = case.arrays["map"], results["map"]
    counted = truth != IGNORED
    box = bounds(counted)
    image = as_bytes(case.arrays["image"][box])
    place = fullest(truth[box], counted[box])
    drawn = np.where(counted[box], labels[box], IGNORED)
    spacing = case.arrays.get("spacing", np.ones(3)).tolist()
    pixels = sheet(image, (truth[box], drawn), colours, place, spacing)
    return Picture(pixels, "image, truth, prediction; from above, the front and the side")


def told(
    labels: np.ndarray,
    image: np.ndarray,
    names: Sequence[str],
    colours: Sequence[str],
    spacing: Sequence[float],
    draw: bool,
) -> Prediction:
    """The classes of a volume with their millilitres, class 0 last, and a drawing of three slices.

    Voxels of class 0 keep the grey of the image.

    Args:
        labels: int `[depth, height, width]`, by the body's axes.
        image: float `[depth, height, width, channels]`.
        names: of the classes.
        colours: of the classes.
        spacing: millimetres between voxels, along each axis.
        draw: whether to draw.
    """
    numbers, counts = np.unique(labels, return_counts=True)
    millilitres = counts * float(np.prod(spacing)) / 1000
    order = np.lexsort((-counts, numbers == 0))
    record: list[dict[str, Any]] = [
        {
            "class": names[int(numbers[i])] if int(numbers[i]) < len(names) else str(numbers[i]),
            "number": int(numbers[i]),
            "voxels": int(counts[i]),
            "millilitres": float(millilitres[i]),
            "share": float(counts[i] / labels.size),
        }
        for i in order
    ]
    rows = [(one["class"], f"{one['millilitres']:.2f}", f"{one['share']:.4f}") for one in record]
    if not draw:
        return Prediction(rows, {"classes": record})
    place = fullest(labels, np.ones(labels.shape, bool))
    painted = np.where(labels == 0, IGNORED, labels)
    drawing = sheet(as_bytes(image), (painted,), colours, place, spacing, side=384)
    legend = [
        (colours[int(one["number"])], f"{one['class']}, {one['millilitres']:.1f} ml")
        for one in record
        if one["number"] != 0
    ]
    return Prediction(rows, {"classes": record}, with_legend(drawing, legend, LEGEND))


def bounds(region: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds all of a region, bool `[*space]`; all of it if it is empty."""
    box = []
    for axis in range(region.ndim):
        inside = np.flatnonzero(region.any(tuple(a for a in range(region.ndim) if a != axis)))
        box.append(slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(None))
    return tuple(box)
