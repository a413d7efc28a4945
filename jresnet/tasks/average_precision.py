"""Average precision and recall by COCO's rules (Lin et al., arXiv:1405.0312), image by image.

As pycocotools' `COCOeval`. In each image a class's detections choose objects by falling score: the
one of greatest overlap that no other took, and an object that does not count only where there is
no other. Crowds, objects outside of the range of areas, and what must be ignored, count neither as
missed nor as hit; nor does a detection that chose one, or that chose none and is itself outside of
the range. Precision is made monotone and read at 101 recalls.
"""

import dataclasses

import numpy as np

from jresnet.tasks.detection_records import Detections, Objects

RECALLS = np.linspace(0, 1, 101)
ALL, SMALL, MEDIUM, LARGE = "all", "small", "medium", "large"
RANGES = {ALL: (0.0, 1e10), SMALL: (0.0, 32.0**2), MEDIUM: (32.0**2, 96.0**2), LARGE: (96.0**2, 1e10)}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Rules:
    """The numbers of an evaluation.

    - `limits`: detections of a class in an image that count, rising; recall is told for each,
      precision for the last.
    - `ranges`: names of `RANGES`, the first of which is all.
    - `thresholds`: least overlaps of a hit.
    """

    limits: tuple[int, ...] = (1, 10, 100)
    ranges: tuple[str, ...] = (ALL, SMALL, MEDIUM, LARGE)
    thresholds: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())


RULES = Rules()
KEYPOINT_RULES = Rules((20,), (ALL, MEDIUM, LARGE))  # COCO has no small persons with keypoints
# For sets with more than 20 objects in an image: by COCO's rule the rest would count as missed.
# As many detections as for boxes; recall is told for COCO's number too.
MANY_KEYPOINTS = Rules((20, 100))


@dataclasses.dataclass(frozen=True)
class Matched:
    """The detections of an image, and which of them hit.

    - `classes`, `scores`, `ranks`: `[n]`, the last within image and class.
    - `hit`, `ignored`: bool `[ranges, thresholds, n]`.
    - `objects`: the class of each true object, int `[m]`.
    - `counted`: whether it can be hit or missed, bool `[ranges, m]`.
    """

    classes: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray
    counted: np.ndarray


def match(
    objects: Objects,
    detections: Detections,
    overlaps: np.ndarray,
    areas: np.ndarray,
    ignored: np.ndarray,
    rules: Rules,
) -> Matched:
    """Hits of one image, for every range of areas and threshold.

    Args:
        objects: the true ones.
        detections: by falling score; no more of a class than the last of `rules.limits`.
        overlaps: float64 `[detections, objects]`; those of different classes are not looked at.
        areas: of the detections, `[detections]` in pixels.
        ignored: bool `[objects]`, crowds among them.
        rules: ranges and thresholds.
    """
    ranges = np.array([RANGES[name] for name in rules.ranges])
    excluded = ignored | _outside(objects.areas, ranges)
    free = np.ones((len(ranges), len(rules.thresholds), len(objects.classes)), bool)
    hit = np.zeros((*free.shape[:2], len(detections.classes)), bool)
    spared = np.zeros_like(hit)
    each = np.arange(len(ranges))[:, None]
    # As COCOeval: an overlap of 1 is enough for a threshold of 1.
    least = np.minimum(rules.thresholds, 1 - 1e-10)
    overlaps = np.where(detections.classes[:, None] == objects.classes, overlaps, -1.0)
    for row in np.flatnonzero((overlaps >= least.min()).any(1)).tolist():
        near = np.flatnonzero(overlaps[row] >= least.min())
        reached = overlaps[row, near] >= least[:, None]
        open_to = reached & (free[..., near] | objects.crowd[near])
        real = open_to & ~excluded[:, None, near]
        open_to = np.where(real.any(-1, keepdims=True), real, open_to)
        # The last one of equal overlaps.
        backwards = np.where(open_to, overlaps[row, near], -1.0)[..., ::-1]
        choice = near[len(near) - 1 - backwards.argmax(-1)]
        some = open_to.any(-1)
        at = (*np.nonzero(some), choice[some])
        free[at] = False
        hit[..., row] = some
        spared[..., row] = some & excluded[each, choice]
    spared |= ~hit & _outside(areas, ranges)[:, None]
    return Matched(
        detections.classes,
        detections.scores,
        detections.ranks(),
        hit,
        spared,
        objects.classes,
        ~excluded,
    )


def _outside(areas: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    """Bool `[ranges, n]`."""
    return (areas < ranges[:, :1]) | (areas > ranges[:, 1:])


@dataclasses.dataclass(frozen=True)
class Curves:
    """Precision and recall of the classes that occur in the truth.

    - `classes`: their numbers, rising.
    - `precision`: float64 `[thresholds, recalls, classes, ranges]`, for the last limit.
    - `recall`: the greatest, float64 `[thresholds, classes, ranges, limits]`.
    - `scores`: of the detection with which each recall is reached, as `precision`; 0 where none is.

    All are nan where a class has no object that counts in a range.
    """

    classes: list[int]
    precision: np.ndarray
    recall: np.ndarray
    scores: np.ndarray


class Accumulation:
    """Matched images of a split. Equal scores of different images stay in the order of the images."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.images: list[Matched] = []

    def add(self, matched: Matched) -> None:
        """One more image."""
        self.images.append(matched)

    def curves(self) -> Curves:
        """Precision and recall of all images."""
        if not self.images:
            return self._none()
        objects, classes, scores, ranks = (
            np.concatenate([getattr(image, name) for image in self.images])
            for name in ("objects", "classes", "scores", "ranks")
        )
        counted, hit, ignored = (
            np.concatenate([getattr(image, name) for image in self.images], -1)
            for name in ("counted", "hit", "ignored")
        )
        present = np.unique(objects[counted[0]]).tolist()
        if not present:
            return self._none()
        results = []
        for number in present:
            rows = np.flatnonzero(classes == number)
            rows = rows[np.argsort(-scores[rows], kind="stable")]
            totals = counted[:, objects == number].sum(1)
            results.append(self._of_class(scores, ranks, hit, ignored, rows, totals))
        precision, recall, reached = zip(*results, strict=True)
        return Curves(present, np.stack(precision, 2), np.stack(recall, 1), np.stack(reached, 2))

    def _of_class(
        self,
        scores: np.ndarray,
        ranks: np.ndarray,
        hit: np.ndarray,
        ignored: np.ndarray,
        rows: np.ndarray,
        totals: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precision `[thresholds, recalls, ranges]`, recall `[thresholds, ranges, limits]`, scores."""
        limits, ranges = self.rules.limits, len(self.rules.ranges)
        thresholds = len(self.rules.thresholds)
        precision = np.full((thresholds, len(RECALLS), ranges), np.nan)
        reached = precision.copy()
        recall = np.full((thresholds, ranges, len(limits)), np.nan)
        for place in np.flatnonzero(totals).tolist():
            real = ~ignored[place][:, rows]
            hits, total = hit[place][:, rows] & real, int(totals[place])
            for number, limit in enumerate(limits):
                recall[:, place, number] = hits[:, ranks[rows] < limit].sum(1) / total
            precision[..., place], reached[..., place] = _read(hits, real, scores[rows], total)
        return precision, recall, reached

    def _none(self) -> Curves:
        shape = len(self.rules.thresholds), 0, len(self.rules.ranges)
        empty = np.zeros((shape[0], len(RECALLS), *shape[1:]))
        return Curves([], empty, np.zeros((*shape, len(self.rules.limits))), empty)


def _read(
    hits: np.ndarray, real: np.ndarray, scores: np.ndarray, total: int
) -> tuple[np.ndarray, np.ndarray]:
    """Monotone precision and the score at each recall, float64 `[thresholds, recalls]` each.

    Args:
        hits: bool `[thresholds, n]`, by falling score.
        real: whether a detection counts, as `hits`.
        scores: `[n]`.
        total: number of objects.
    """
    true = np.cumsum(hits, 1, dtype=np.float64)
    shares = true / np.maximum(np.cumsum(real, 1), 1)
    shares = np.maximum.accumulate(shares[:, ::-1], 1)[:, ::-1]
    precision = np.zeros((len(hits), len(RECALLS)))
    reached = np.zeros_like(precision)
    for row, (rising, share) in enumerate(zip(true / total, shares, strict=True)):
        at = np.searchsorted(rising, RECALLS)
        ends = at < len(scores)
        precision[row, ends] = share[at[ends]]
        reached[row, ends] = scores[at[ends]]
    return precision, reached


def summary(curves: Curves, rules: Rules) -> dict[str, float]:
    """Means over the classes that count: `ap`, `ap50`, `ap75`, `ap/RANGE`, `ar/LIMIT`, `ar/RANGE`.

    Without any class `ap`, `ap50`, `ap75` and `ar/LIMIT` are nan; a range that no object is in is
    left out.
    """
    precision, recall = curves.precision, curves.recall
    results = {"ap": _mean(precision[..., 0])}
    for threshold in (0.5, 0.75):
        at = place_of(rules, threshold)
        results[f"ap{100 * threshold:.0f}"] = _mean(precision[at, ..., 0])
    for number, limit in enumerate(rules.limits):
        results[f"ar/{limit}"] = _mean(recall[:, :, 0, number])
    for place, name in enumerate(rules.ranges[1:], 1):
        if not np.isnan(recall[:, :, place]).all():
            results[f"ap/{name}"] = _mean(precision[..., place])
            results[f"ar/{name}"] = _mean(recall[:, :, place, -1])
    return results


def by_class(curves: Curves, rules: Rules) -> dict[int, tuple[float, float]]:
    """`ap` and `ap50` of each class that occurs in the truth, by its number."""
    half = place_of(rules, 0.5)
    return {
        number: (
            float(curves.precision[:, :, at, 0].mean()),
            float(curves.precision[half, :, at, 0].mean()),
        )
        for at, number in enumerate(curves.classes)
    }


def place_of(rules: Rules, threshold: float) -> int:
    """The number of a threshold. Raises ValueError if it is not among them."""
    close = np.flatnonzero(np.isclose(rules.thresholds, threshold))
    if not close.size:
        raise ValueError(f"thresholds={rules.thresholds}: expected {threshold} among them")
    return int(close[0])


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
