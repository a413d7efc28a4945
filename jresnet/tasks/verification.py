"""Whether two faces are one person's: scores of pairs, and of a gallery. NumPy alone.

The protocol is that of LFW, "unrestricted, labelled outside data" (Huang and Learned-Miller 2014,
UM-CS-2014-003): for each fold the threshold that is best on all others.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

FARS = (1e-2, 1e-3, 1e-4, 1e-5)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of a split: positions `left` and `right` in it, `same` bool, and `fold`; `[pairs]` each.

    Raises ValueError for arrays of different lengths.
    """

    left: Any
    right: Any
    same: Any
    fold: Any

    def __post_init__(self) -> None:
        lengths = {len(array) for array in (self.left, self.right, self.same, self.fold)}
        if len(lengths) > 1:
            raise ValueError(f"pairs={sorted(lengths)}: expected arrays of one length")

    def listed(self) -> "Pairs":
        """The same in tuples of numbers, which a run's record keeps whole."""
        return Pairs(*(tuple(np.asarray(values).tolist()) for values in self._columns))

    def arrays(self) -> "Pairs":
        """The same in arrays, out of tuples."""
        types = (int, int, bool, int)
        return Pairs(*(np.asarray(v, t) for v, t in zip(self._columns, types, strict=True)))

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.left, self.right, self.same, self.fold

    def kept(self, rows: np.ndarray) -> "Pairs":
        """Some of the pairs, by a mask or positions."""
        return Pairs(self.left[rows], self.right[rows], self.same[rows], self.fold[rows])


@dataclasses.dataclass(frozen=True)
class Folds:
    """Accuracy and threshold of each fold; pairs at or above a threshold are taken for one person."""

    accuracies: np.ndarray
    thresholds: np.ndarray

    @property
    def accuracy(self) -> float:
        """The mean over folds, as LFW has it."""
        return float(self.accuracies.mean())

    @property
    def spread(self) -> float:
        """The standard deviation over folds; insightface reports it, not the error of the mean."""
        return float(self.accuracies.std())


@dataclasses.dataclass(frozen=True)
class Roc:
    """False accepts and true accepts, `[thresholds + 1]` each, from none to all, as thresholds fall.

    `false` and `true` are counts, of `different` and `same` pairs.
    """

    thresholds: np.ndarray
    false: np.ndarray
    true: np.ndarray
    different: int
    same: int

    @property
    def area(self) -> float:
        """The area under the curve; NaN without pairs of either kind."""
        if not self.different * self.same:
            return math.nan
        return float(np.trapezoid(self.true / self.same, self.false / self.different))

    def at(self, far: float) -> tuple[float, float, int]:
        """True accept rate, threshold, and false accepts of the lowest threshold with at most `far`.

        Few pairs cannot measure a small rate: `int(far * different)` false accepts are allowed, and
        with 0 of them the result rests on a single pair. Without any pair NaN.
        """
        if not self.different * self.same:
            return math.nan, math.nan, 0
        allowed = math.floor(far * self.different + 1e-9)
        place = int(np.flatnonzero(self.false <= allowed)[-1])
        return float(self.true[place] / self.same), float(self.thresholds[place]), int(self.false[place])  # fmt: skip


def unit(vectors: np.ndarray) -> np.ndarray:
    """`[rows, n]` float64, of length 1; zeros stay."""
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def similarities(vectors: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Cosines of pairs, float64 `[pairs]`; equal pictures have equal ones, whatever stands beside them."""
    directions = unit(vectors)
    return np.einsum("ij,ij->i", directions[pairs.left], directions[pairs.right])


def best_threshold(scores: np.ndarray, same: np.ndarray) -> float:
    """The threshold of the highest accuracy, in the middle of the gap in which it lies.

    Of several equal ones the lowest. Raises ValueError without pairs.
    """
    if not len(scores):
        raise ValueError("scores=[]: expected at least one pair")
    values, place = np.unique(scores, return_inverse=True)
    total = np.bincount(place, minlength=len(values))
    true = np.bincount(place, weights=same, minlength=len(values))
    # Right answers if all pairs from value k on are accepted; k = len(values) accepts none.
    accepted = np.append(np.cumsum(true[::-1])[::-1], 0)
    refused = np.append(0, np.cumsum(total - true))
    k = int(np.argmax(accepted + refused))
    if k in (0, len(values)):
        return float(values[0] if k == 0 else np.nextafter(values[-1], np.inf))
    middle = 0.5 * (values[k - 1] + values[k])
    return float(middle if middle > values[k - 1] else values[k])


def fold_accuracies(scores: np.ndarray, pairs: Pairs) -> Folds:
    """Each fold by the threshold of all others. Raises ValueError for fewer than two folds."""
    names = np.unique(pairs.fold)
    if len(names) < 2:
        raise ValueError(f"folds={len(names)}: expected at least 2")
    accuracies, thresholds = [], []
    for name in names:
        inside = pairs.fold == name
        threshold = best_threshold(scores[~inside], pairs.same[~inside])
        accuracies.append(np.mean((scores[inside] >= threshold) == pairs.same[inside]))
        thresholds.append(threshold)
    return Folds(np.array(accuracies), np.array(thresholds))


def roc(scores: np.ndarray, same: np.ndarray) -> Roc:
    """The curve of all pairs; equal scores are accepted together."""
    same = np.asarray(same, bool)
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], same[order]
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    thresholds = np.append(np.inf, ranked[last])
    true, false = (np.append(0, np.cumsum(mask)[last]) for mask in (right, ~right))
    return Roc(thresholds, false, true, int((~same).sum()), int(same.sum()))


def matches(probes: np.ndarray, gallery: np.ndarray, probe_of: np.ndarray, gallery_of: np.ndarray) -> np.ndarray:  # fmt: skip
    """For each probe the rank, from 1, of its person in the gallery; 0 for one who is not in it.

    A person of several pictures counts by the nearest. Of equal persons the wrong ones come first,
    so that constant vectors have no hit.
    """
    people, place = np.unique(gallery_of, return_inverse=True)
    cosine = unit(probes) @ unit(gallery).T
    best = np.full((len(probes), len(people)), -np.inf)
    for number in range(len(people)):
        best[:, number] = cosine[:, place == number].max(1)
    ranks = np.zeros(len(probes), int)
    for row, person in enumerate(probe_of):
        column = np.flatnonzero(people == person)
        if len(column):
            others = np.delete(best[row], column[0])
            ranks[row] = 1 + int((others >= best[row, column[0]] - 1e-12).sum())
    return ranks


def cumulative_matches(ranks: np.ndarray, longest: int) -> np.ndarray:
    """The CMC: the share of probes whose person is among the first 1, 2, ... `longest`.

    Closed set: probes of nobody in the gallery are left out.
    """
    ranks = ranks[ranks > 0]
    if not len(ranks):
        return np.full(longest, np.nan)
    return np.array([np.mean(ranks <= k) for k in range(1, longest + 1)])


def verification_scores(
    scores: np.ndarray, pairs: Pairs, fars: Sequence[float] = FARS
) -> dict[str, float]:
    """`accuracy`, `accuracy_spread`, `threshold`, its `far`, `auc`; and what is behind each rate.

    `tar/0.01` is the share of true accepts at `threshold/0.01`, the lowest with at most that rate;
    `false_accepts/0.01` are the pairs that were taken wrongly at that threshold: a rate of 1e-5
    needs 10^5 pairs of two people for one. `pairs/same` and `pairs/different` count.
    """
    folds, curve = fold_accuracies(scores, pairs), roc(scores, pairs.same)
    threshold = float(folds.thresholds.mean())
    result = {
        "accuracy": folds.accuracy,
        "accuracy_spread": folds.spread,
        "threshold": threshold,
        "far": float(np.mean(scores[~pairs.same] >= threshold)),
        "auc": curve.area,
        "pairs/same": float(curve.same),
        "pairs/different": float(curve.different),
    }
    for far in fars:
        rate, lowest, wrong = curve.at(far)
        result |= {f"tar/{far:g}": rate, f"false_accepts/{far:g}": float(wrong)}
        if math.isfinite(lowest):  # infinite where none is low enough
            result[f"threshold/{far:g}"] = lowest
    return result


def spread(vectors: np.ndarray) -> float:
    """How far directions lie apart: 1 minus the length of their mean; 0 if all are the same."""
    return float(1 - np.linalg.norm(unit(vectors).mean(0))) if len(vectors) else math.nan
