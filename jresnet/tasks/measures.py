"""Measures of collected outputs that are no sums over examples."""

import numpy as np
from sklearn import metrics

from jresnet.tasks.roc import auc


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of `[examples, classes]`, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def confusion(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Counts `[true class, predicted class]`."""
    classes = np.arange(logits.shape[-1])
    return metrics.confusion_matrix(label, logits.argmax(-1), labels=classes)


def two_classes(logits: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """How well the second of two classes is found.

    `auc`: area under the ROC curve. `sensitivity` and `specificity`: the shares of the second and
    of the first class that are recognised, at a probability of one half. Without examples of a
    class those that need them are nan.

    Raises ValueError unless there are two classes.
    """
    if logits.shape[-1] != 2:
        raise ValueError(f"logits {logits.shape}: expected two classes")
    scores = diagnosis_scores(probabilities(logits), label)
    return {name: scores[name] for name in ("auc", "sensitivity", "specificity")}


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The probability of yes, for each of any number of questions, in float64."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: how far confidence is from the share of right answers.

    The mean over `bins` of equal width, by their examples (Guo et al. 2017, arXiv:1706.04599,
    equation 3).

    Args:
        confidence: `[n]`, from 0 to 1.
        right: bool `[n]`.
        bins: how many; the first holds 0, the others what is above their lower edge.
    """
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    apart = np.bincount(number, weights=confidence - right, minlength=bins)
    return float(np.abs(apart).sum() / len(confidence))


def diagnosis_scores(shares: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Scores of probabilities `[n, classes]`, by the protocol of MedMNIST (arXiv:2110.14795).

    - auc: of the second of two classes; else the mean over classes or labels, each against the
      rest. Classes without examples of both kinds are left out; nan if there is no other.
    - accuracy: the share of right classes; with any number of labels, the mean over the labels.
    - sensitivity, specificity: of the second of two classes, else means over classes or labels,
      at a probability of one half of a label or at the likeliest class.
    - ece: `calibration_error` of the chosen class, or of each label's answer.

    Args:
        shares: probabilities of classes, or of the yes of each label.
        label: int `[n]`, or 0 and 1 `[n, labels]`.
    """
    true, columns = questions(shares, label)
    if label.ndim == 2:
        chosen = shares >= 0.5
        accuracy = float((true == chosen).mean())
        sure, right = np.maximum(shares, 1 - shares).reshape(-1), (true == chosen).reshape(-1)
    else:
        guess = shares.argmax(-1)
        chosen = guess[:, None] == np.arange(shares.shape[1])
        accuracy = float((guess == label).mean())
        sure, right = shares.max(-1), guess == label
    return {
        "auc": _mean([auc(true[:, k], shares[:, k]) for k in columns]),
        "accuracy": accuracy,
        "sensitivity": _mean([_share(chosen[:, k], true[:, k]) for k in columns]),
        "specificity": _mean([_share(~chosen[:, k], ~true[:, k]) for k in columns]),
        "ece": calibration_error(sure, right),
    }


def questions(shares: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The answers, bool `[n, classes]`, and the classes or labels that count, for probabilities
    and labels as `diagnosis_scores` has them."""
    classes = np.arange(shares.shape[1])
    if label.ndim == 2:
        return label > 0, classes.tolist()
    return label[:, None] == classes, [1] if len(classes) == 2 else classes.tolist()


def _share(hit: np.ndarray, among: np.ndarray) -> float:
    return float(hit[among].mean()) if among.any() else float("nan")


def _mean(values: list[float]) -> float:
    """The mean of those that are numbers."""
    numbers = [value for value in values if not np.isnan(value)]
    return float(np.mean(numbers)) if numbers else float("nan")
