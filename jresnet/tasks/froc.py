"""Free-response ROC: the share of lesions detected against false positives an image.

The score is the mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false positives an image
(LUNA16: Setio et al., arXiv:1612.08012, section 3.2).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jresnet.tasks.detection_records import Detections, Objects
from jresnet.tasks.overlaps import box_overlaps

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclasses.dataclass(frozen=True)
class Froc:
    """The rules of a hit, and of its interval.

    - `overlap`: least IoU of a hit. None: the detection's centre lies in the object's box.
    - `rates`: false positives an image, rising.
    - `resamples`: of the images, for the interval.
    - `confidence`: the share of resamples inside of it.
    - `seed`: of the resamples.
    """

    overlap: float | None = 0.5
    rates: tuple[float, ...] = RATES
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One image: the best `scores` of the objects hit, those of false positives, all objects."""

    hits: np.ndarray
    false_positives: np.ndarray
    objects: int


@dataclasses.dataclass(frozen=True)
class FrocCurve:
    """Sensitivity against false positives an image.

    - `rates`, `sensitivities`: a point for every score that occurs, from (0, 0) on, float64 `[n]`.
    - `marks`: the rates of `Froc`.
    - `at`: sensitivities at the marks, between points by a straight line, after the last as there;
      `low` and `high` their interval, `[marks]`.
    - `score`: the mean of `at`; `score_low`, `score_high` its interval.

    All but rates and marks are nan where there is no object.
    """

    rates: np.ndarray
    sensitivities: np.ndarray
    marks: np.ndarray
    at: np.ndarray
    low: np.ndarray
    high: np.ndarray
    score: float
    score_low: float
    score_high: float


def outcome(objects: Objects, detections: Detections, rule: Froc) -> Outcome:
    """Hits of one image.

    A detection hits the object of its class with which it overlaps most, or whose centre is next.
    An object has its best detection's score; further ones are neither hits nor false positives,
    and nor are those in a crowd, which itself is no object to hit.
    """
    same = detections.classes[:, None] == objects.classes
    if rule.overlap is None:
        near, likeness = _around_centres(detections.boxes, objects.boxes)
        hitting = same & near
    else:
        likeness = box_overlaps(detections.boxes, objects.boxes, objects.crowd)
        hitting = same & (likeness >= rule.overlap)
    real = hitting & ~objects.crowd
    chosen = np.where(real, likeness, -np.inf).argmax(1) if real.size else np.zeros(0, int)
    hits = []
    for number in np.flatnonzero(~objects.crowd).tolist():
        mine = real[:, number] & (chosen == number)
        if mine.any():
            hits.append(detections.scores[mine].max())
    wrong = ~hitting.any(1)
    count = int(np.count_nonzero(~objects.crowd))
    return Outcome(np.array(hits, np.float64), detections.scores[wrong].astype(np.float64), count)


def _around_centres(detected: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each detection's centre is in each box, and minus the distance of the centres."""
    x, y = (0.5 * (detected[:, axis, None] + detected[:, axis + 2, None]) for axis in (0, 1))
    inside = (x >= true[:, 0]) & (x <= true[:, 2]) & (y >= true[:, 1]) & (y <= true[:, 3])
    true_x, true_y = (0.5 * (true[:, axis] + true[:, axis + 2]) for axis in (0, 1))
    return inside, np.where(inside, -np.hypot(x - true_x, y - true_y), -np.inf)


def froc_curve(images: Sequence[Outcome], rule: Froc) -> FrocCurve:
    """The curve of all images, with intervals from images drawn again and again."""
    count = len(images)
    scores = np.concatenate([*(x for i in images for x in (i.hits, i.false_positives)), []])
    sizes = [len(x) for i in images for x in (i.hits, i.false_positives)]
    kind = np.repeat(np.arange(2 * count), sizes)
    order = np.argsort(-scores, kind="stable")
    scores, image, wrong = scores[order], kind[order] // 2, kind[order] % 2 == 1
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    totals = np.array([i.objects for i in images])

    def points(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = weights[image]
        false, true = (np.cumsum(weight * mask)[last] for mask in (wrong, ~wrong))
        objects = float(weights @ totals)
        sensitivity = np.append(0.0, true) / objects if objects else np.full(1 + len(true), np.nan)
        return np.append(0.0, false) / max(count, 1), sensitivity

    rates, sensitivities = points(np.ones(count))
    at = np.interp(rule.rates, rates, sensitivities)
    rng = np.random.default_rng(rule.seed)
    resampled = []
    for _ in range(rule.resamples if totals.any() else 0):
        weights = np.bincount(rng.integers(0, count, count), minlength=count)
        resampled.append(np.interp(rule.rates, *points(weights)))
    low, high, score_low, score_high = _intervals(resampled, len(at), rule.confidence)
    marks = np.array(rule.rates)
    return FrocCurve(
        rates, sensitivities, marks, at, low, high, float(at.mean()), score_low, score_high
    )


def _intervals(
    resampled: Sequence[np.ndarray], rates: int, confidence: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Ends at each rate and of the means; resamples without any object are left out."""
    values = np.array([row for row in resampled if not np.isnan(row).any()]).reshape(-1, rates)
    if not len(values):
        return np.full(rates, np.nan), np.full(rates, np.nan), np.nan, np.nan
    shares = (1 - confidence) / 2, (1 + confidence) / 2
    low, high = np.quantile(values, shares, 0)
    score_low, score_high = np.quantile(values.mean(1), shares).tolist()
    return low, high, score_low, score_high


def froc_scores(curve: FrocCurve) -> dict[str, float]:
    """`froc`, the mean, with its interval `froc_low` and `froc_high`; `froc/0.125` ... `froc/8`."""
    scores = {"froc": curve.score, "froc_low": curve.score_low, "froc_high": curve.score_high}
    at = zip(curve.marks.tolist(), curve.at.tolist(), strict=True)
    return scores | {f"froc/{rate:g}": value for rate, value in at}
