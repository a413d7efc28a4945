"""Detections paired with objects, and the classes that are taken for each other."""

import dataclasses
from collections import Counter

import numpy as np

from jresnet.tasks.detection_records import Detections, Objects
from jresnet.tasks.overlaps import box_overlaps

NOTHING = -1


@dataclasses.dataclass(frozen=True)
class Confusion:
    """The detections that are compared: their least `score`, and the least IoU of a match."""

    score: float = 0.5
    overlap: float = 0.5


AT_HALF = Confusion()


def matches(
    objects: Objects, detections: Detections, overlap: float = 0.5, any_class: bool = False
) -> np.ndarray:
    """The object that each detection belongs to, int `[detections]`; `NOTHING` for none.

    By falling score a detection takes the free object that it overlaps with most. A crowd is taken
    where there is no other, and stays free.

    Args:
        objects: the true ones.
        detections: by falling score.
        overlap: least IoU.
        any_class: whether they may differ in class.
    """
    overlaps = box_overlaps(detections.boxes, objects.boxes, objects.crowd)
    if not any_class:
        overlaps = np.where(detections.classes[:, None] == objects.classes, overlaps, 0)
    free = np.ones(len(objects.classes), bool)
    result = np.full(len(detections.classes), NOTHING)
    for row in np.flatnonzero((overlaps >= overlap).any(1)).tolist():
        values = overlaps[row]
        open_to = free & (values >= overlap)
        if (open_to & ~objects.crowd).any():
            open_to &= ~objects.crowd
        if open_to.any():
            choice = int(np.where(open_to, values, -1).argmax())
            result[row] = choice
            free[choice] = bool(objects.crowd[choice])
    return result


def confusions(
    objects: Objects, detections: Detections, rule: Confusion
) -> Counter[tuple[int, int]]:
    """Counts of (true class, detected class) in one image, `NOTHING` where there is no partner.

    Crowds, and detections in them, count for nothing.
    """
    detections = detections.keep(detections.scores >= rule.score)
    partners = matches(objects, detections, rule.overlap, any_class=True)
    counts: Counter[tuple[int, int]] = Counter()
    for number, partner in zip(detections.classes.tolist(), partners.tolist(), strict=True):
        if partner == NOTHING:
            counts[NOTHING, number] += 1
        elif not objects.crowd[partner]:
            counts[int(objects.classes[partner]), number] += 1
    missed = ~objects.crowd
    missed[partners[partners != NOTHING]] = False
    counts.update((number, NOTHING) for number in objects.classes[missed].tolist())
    return counts


def confusion_matrix(counts: Counter[tuple[int, int]], classes: int) -> np.ndarray:
    """int64 `[classes + 1, classes + 1]`, rows the truth; the last row and column are nothing."""
    matrix = np.zeros((classes + 1, classes + 1), np.int64)
    for (true, detected), count in counts.items():
        matrix[true, detected] += count  # NOTHING is -1, the last
    return matrix
