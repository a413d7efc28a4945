"""How often each class occurs in a split, and weights that make up for it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import BrokenExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.info import Source

_DIGITS = 4  # of a weight; more would make two machines' records differ for nothing


@runtime_checkable
class Mapped(Protocol):
    """A source whose label maps are read without their images."""

    def labels(self, index: int) -> np.ndarray:
        """int32 [H, W]. Raises BrokenExampleError."""
        ...


def pixel_counts(source: Source, num_classes: int) -> np.ndarray:
    """Pixels of each class in each map of a split, int64 [examples, classes].

    Ignored pixels, classes that the set does not have and maps that are broken count for nothing.
    """

    def counts(index: int) -> np.ndarray:
        try:
            labels = source.labels(index) if isinstance(source, Mapped) else source[index]["map"]
        except BrokenExampleError:
            labels = np.zeros(0, np.int64)  # training names it
        kept = labels[(labels >= 0) & (labels != IGNORED) & (labels < num_classes)]
        return np.bincount(kept.reshape(-1), minlength=num_classes)

    with ThreadPoolExecutor(decoding_threads(1)) as pool:
        rows = list(pool.map(counts, range(len(source))))
    return np.array(rows, np.int64).reshape(-1, num_classes)


def median_frequency(counts: np.ndarray, power: float = 1.0) -> tuple[float, ...]:
    """Median frequency balancing: a weight for each class, of `pixel_counts`.

    The frequency of a class is its share of the labelled pixels of the images that it occurs in; its
    weight is the median frequency over its own (Eigen and Fergus 2014, arXiv:1411.4734, section
    6.3.2). A class that never occurs has weight 0. A `power` below 1, which is not the paper's,
    brings the weights nearer to each other.
    """
    totals = counts.sum(0)
    present = np.where(counts > 0, counts.sum(1, keepdims=True), 0).sum(0)
    occurs = totals > 0
    if not occurs.any():
        return (0.0,) * counts.shape[1]
    frequency = totals[occurs] / present[occurs]
    weights = np.zeros(counts.shape[1])
    weights[occurs] = (np.median(frequency) / frequency) ** power
    return tuple(float(f"{weight:.{_DIGITS}g}") for weight in weights)


def balanced(counts: np.ndarray) -> tuple[float, ...]:
    """A weight for each class of `counts` examples, `[classes]`, so that all count alike.

    All examples over the number of classes and over the examples of the class, as scikit-learn's
    "balanced"; their mean over the examples is 1. A class that never occurs has weight 0.
    """
    occurs = counts > 0
    weights = np.zeros(len(counts))
    weights[occurs] = counts.sum() / (occurs.sum() * counts[occurs])
    return tuple(float(f"{weight:.{_DIGITS}g}") for weight in weights)


def positive_weights(labels: np.ndarray) -> tuple[float, ...]:
    """A weight for the yes of each label of 0 and 1 `[n, labels]`: as many times as no is commoner.

    1 for a label that never occurs.
    """
    yes = (labels > 0).sum(0)
    weights = np.divide(len(labels) - yes, yes, out=np.ones(len(yes)), where=yes > 0)
    return tuple(float(f"{weight:.{_DIGITS}g}") for weight in weights)
