"""The area under the ROC curve, exactly, and its interval by a bootstrap over examples."""

import numpy as np

RESAMPLES = 1000


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """The share of pairs of a positive and a negative example that `score` puts in order.

    Equal scores count half, so that it is the area under the curve (Hanley and McNeil 1982).

    Args:
        positive: bool `[n]`.
        score: `[n]`, higher for positive examples.

    Returns:
        0 to 1; nan without examples of both kinds.
    """
    return _Ranked(score).area(np.asarray(positive, bool))


def auc_interval(
    positive: np.ndarray,
    score: np.ndarray,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The ends of the interval of `auc` by percentiles of a bootstrap (Efron 1979) over examples.

    With scores `[curves, n]`, of several nets or questions, it is that of their mean: all have the
    same resamples. Resamples without examples of both kinds are left out.

    Args:
        positive: bool `[n]`, or one row a curve.
        score: `[n]` or `[curves, n]`, higher for positive examples.
        resamples: how many.
        confidence: share of them within the interval.
        seed: of the resamples.

    Returns:
        The lower and the upper end; nan if no resample is left.
    """
    scores = np.atleast_2d(score)
    truth = np.broadcast_to(np.asarray(positive, bool), scores.shape)
    curves = [(_Ranked(row), true) for row, true in zip(scores, truth, strict=True)]
    rng, count = np.random.default_rng(seed), scores.shape[1]
    areas = []
    for _ in range(resamples):
        weights = np.bincount(rng.integers(0, count, count), minlength=count)
        areas.append(np.mean([curve.area(true, weights) for curve, true in curves]))
    values = np.array(areas)
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, ((1 - confidence) / 2, (1 + confidence) / 2)).tolist()
    return low, high


class _Ranked:
    """Scores `[n]`, sorted once for any number of resamples."""

    def __init__(self, score: np.ndarray) -> None:
        self.order = np.argsort(score, kind="stable")
        rising = np.asarray(score)[self.order]
        # Where a new score begins: equal ones are a group.
        self.first = np.flatnonzero(np.append(True, rising[1:] != rising[:-1]))[: len(rising)]

    def area(self, positive: np.ndarray, weights: np.ndarray | None = None) -> float:
        """The AUC with so many copies of each example; nan without both kinds."""
        if not len(self.order):
            return float("nan")
        weight = np.ones(len(self.order)) if weights is None else weights[self.order].astype(float)
        true = positive[self.order]
        right, wrong = (np.add.reduceat(weight * kind, self.first) for kind in (true, ~true))
        pairs = float(right.sum() * wrong.sum())
        below = np.cumsum(wrong) - wrong / 2
        return float(right @ below) / pairs if pairs else float("nan")
