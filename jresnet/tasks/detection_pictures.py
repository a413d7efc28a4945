"""A picture with its detections, and with hits, false positives and missed objects."""

from collections.abc import Sequence

import numpy as np

from jresnet.report.boxes import Shapes, compared, drawn
from jresnet.tasks.detection_confusion import AT_HALF, NOTHING, Confusion, matches
from jresnet.tasks.detection_records import Detections, Objects


def shapes_of(things: Objects | Detections, size: tuple[int, int]) -> Shapes:
    """Objects or detections as they are drawn, in a picture of that height and width."""
    masks = None if things.masks is None else [mask.whole(*size) for mask in things.masks]
    scores = things.scores if isinstance(things, Detections) else None
    return Shapes(things.boxes, things.classes, scores, masks, things.keypoints)


def detections_drawn(
    picture: np.ndarray,
    detections: Detections,
    names: Sequence[str] = (),
    score: float = AT_HALF.score,
    edges: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """A picture with the detections of at least that score, uint8 `[h, w, 3]`.

    Args:
        picture: the original, uint8 `[H, W, 1 or 3]`.
        detections: in its pixels.
        names: of the classes. With one class and masks each object has a colour.
        score: the least one drawn.
        edges: pairs of keypoints to be joined by a line.
    """
    shapes = shapes_of(detections.keep(detections.scores >= score), _size(picture))
    each = len(names) == 1 and shapes.masks is not None
    return drawn(picture, shapes, names, edges, each)


def truth_compared(
    picture: np.ndarray,
    objects: Objects,
    detections: Detections,
    names: Sequence[str] = (),
    rule: Confusion = AT_HALF,
    edges: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """A picture with hits, false positives and missed objects, uint8 `[h, w, 3]`.

    A detection hits an object of its class. Crowds, and detections in them, are not drawn.

    Args:
        picture: the original, uint8 `[H, W, 1 or 3]`.
        objects: the true ones, in its pixels.
        detections: as `objects`.
        names: of the classes.
        rule: least score of a detection, and least IoU of a hit.
        edges: pairs of keypoints to be joined by a line.
    """
    detections = detections.keep(detections.scores >= rule.score)
    partners = matches(objects, detections, rule.overlap)
    # The last entry stands for those without a partner.
    in_crowd = np.append(objects.crowd, False)[partners]
    real = np.flatnonzero(~objects.crowd)
    numbers = np.full(len(objects.crowd) + 1, NOTHING)
    numbers[real] = np.arange(len(real))
    size = _size(picture)
    return compared(
        picture,
        shapes_of(objects, size).keep(real),
        shapes_of(detections.keep(~in_crowd), size),
        numbers[partners[~in_crowd]],
        names,
        edges,
    )


def _size(picture: np.ndarray) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]
