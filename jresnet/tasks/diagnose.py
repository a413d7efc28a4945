"""Classification as it is judged in medicine: ROC AUC, sensitivity, specificity, calibration."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jresnet.report.colours import BLUE, VERMILION
from jresnet.tasks.base import Array, Batch, Metrics, total
from jresnet.tasks.case import Case, Picture
from jresnet.tasks.classify import Classify, flat
from jresnet.tasks.losses import YES_OR_NO
from jresnet.tasks.measures import diagnosis_scores, probabilities, questions, sigmoid
from jresnet.tasks.roc import auc_interval


@dataclasses.dataclass(frozen=True)
class Diagnose(Classify):
    """`Classify` with `jresnet.tasks.measures.diagnosis_scores` of a whole split.

    With `resamples` above 0 `auc_low` and `auc_high` are the 95 % interval of `auc`, by percentiles
    of so many bootstrap samples of the examples.
    """

    resamples: int = 0

    def collector(self) -> "ScoreCollector":
        """For one pass over a split."""
        return ScoreCollector(probabilities, self.resamples)


@dataclasses.dataclass(frozen=True)
class DiagnoseMany(Diagnose):
    """Any number of labels an image: `batch["label"]` int `[batch, labels]`, 0 or 1 each.

    Each label is a yes-or-no question. `criterion(logits, targets)` is by default the mean of their
    binary cross-entropies. `error` is the share of wrong answers at a probability of one half.
    """

    criterion: Callable[[Array, Array], Array] = YES_OR_NO

    def targets(self, label: Array, logits: Array) -> Array:
        return (label > 0).astype(logits.dtype)

    def metrics(self, losses: Array, logits: Array, batch: Batch) -> Metrics:
        wrong = jnp.mean((logits > 0) != (batch["label"] > 0), -1, dtype=jnp.float32)
        valid = batch.get("valid")
        return {
            "loss": total(losses, valid),
            "error": total(wrong, valid),
            "examples": (total(jnp.ones_like(losses), valid)[0], jnp.ones(())),
        }

    def losses(self, logits: Array, label: Array) -> Array:
        return optax.sigmoid_binary_cross_entropy(logits, self.targets(label, logits)).mean(-1)

    def probabilities(self, logits: Array) -> Array:
        return jax.nn.sigmoid(logits)

    def collector(self) -> "ScoreCollector":
        return ScoreCollector(sigmoid, self.resamples)

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        true = np.flatnonzero(case.arrays["label"] > 0).tolist()
        names = ", ".join(case.class_name(number) for number in true) or "none"
        answers = zip(results["class"].tolist(), results["probability"].tolist(), strict=True)
        likely = {number: share for number, share in answers if share >= 0.5}
        told = ", ".join(f"{case.class_name(n)} ({share:.0%})" for n, share in likely.items())
        right = likely.keys() == set(true)
        caption = f"true {names}; predicted {told or 'none'}"
        return Picture(flat(case.picture()), caption, BLUE if right else VERMILION)


class ScoreCollector:
    """Gathers `logits` and `label` of a split, and scores them.

    - to_probabilities: from logits `[n, classes]` to probabilities, on the host.
    - resamples: of the examples, for the interval of the AUC.
    """

    def __init__(
        self, to_probabilities: Callable[[np.ndarray], np.ndarray], resamples: int = 0
    ) -> None:
        self.to_probabilities, self.resamples = to_probabilities, resamples
        self.rows: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        self.rows.append((np.asarray(outputs["logits"]), np.asarray(outputs["label"])))

    def result(self) -> dict[str, float]:
        if not self.rows:
            return {}
        logits, label = (np.concatenate(part) for part in zip(*self.rows, strict=True))
        shares = self.to_probabilities(logits)
        scores = diagnosis_scores(shares, label)
        if self.resamples:
            low, high = auc_bounds(shares, label, self.resamples)
            scores |= {"auc_low": low, "auc_high": high}
        return scores


def auc_bounds(shares: np.ndarray, label: np.ndarray, resamples: int) -> tuple[float, float]:
    """The 95 % interval of the AUC of `diagnosis_scores`, by a bootstrap over examples.

    Classes without examples of both kinds have no part in it, as in the AUC.
    """
    true, columns = questions(shares, label)
    there = [k for k in columns if 0 < true[:, k].sum() < len(true)]
    if not there:
        return float("nan"), float("nan")
    return auc_interval(true[:, there].T, shares[:, there].T, resamples)
