"""Measures of collected outputs that are no sums over examples."""

import numpy as np
from sklearn import metrics


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
    of the first class that are recognised, at a probability of one half.

    Raises ValueError unless there are two classes and examples of both.
    """
    if logits.shape[-1] != 2 or len(np.unique(label)) != 2:
        raise ValueError(f"logits {logits.shape}: expected two classes, with examples of both")
    positive = probabilities(logits)[:, 1]
    (true_negative, false_positive), (false_negative, true_positive) = confusion(logits, label)
    return {
        "auc": float(metrics.roc_auc_score(label, positive)),
        "sensitivity": true_positive / (true_positive + false_negative),
        "specificity": true_negative / (true_negative + false_positive),
    }
