"""Targets with an order: grades of a disease, and amounts."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import metrics

from jresnet.report.drawing import fitted
from jresnet.tasks.base import Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Picture, Prediction
from jresnet.tasks.classify import Classify, flat
from jresnet.tasks.losses import YES_OR_NO


@dataclasses.dataclass(frozen=True)
class Grade(Classify):
    """Ordinal regression: `batch["label"]` int `[batch]` is a grade from 0 to K - 1.

    The net has K - 1 outputs; each asks whether the grade is above its number (Niu et al. 2016,
    "Ordinal Regression with Multiple Output CNN"). The predicted grade is the number of answers
    above one half. Metrics: `loss` (mean binary cross-entropy), `error`, `grade_error` (mean
    distance of the grades) and, over a split, `kappa` (Cohen's, with quadratic weights).
    """

    criterion: Callable[[Array, Array], Array] = YES_OR_NO

    def targets(self, label: Array, logits: Array) -> Array:
        return (label[:, None] > jnp.arange(logits.shape[-1])[None]).astype(logits.dtype)

    def losses(self, logits: Array, label: Array) -> Array:
        return optax.sigmoid_binary_cross_entropy(logits, self.targets(label, logits)).mean(-1)

    def metrics(self, losses: Array, logits: Array, batch: Batch) -> Metrics:
        valid = batch.get("valid")
        apart = jnp.abs(jnp.sum(logits > 0, -1) - batch["label"])
        return {
            "loss": total(losses, valid),
            "error": total(apart > 0, valid),
            "grade_error": total(apart, valid),
            "examples": (total(jnp.ones_like(losses), valid)[0], jnp.ones(())),
        }

    def probabilities(self, logits: Array) -> Array:
        """`[batch, K]`: what each grade has of the answers, those out of order counted as 0."""
        above = jax.nn.sigmoid(logits)
        ones = jnp.ones_like(above[:, :1])
        shares = jnp.concatenate([ones, above], -1) - jnp.concatenate([above, 0 * ones], -1)
        shares = jnp.maximum(shares, 0)
        return shares / shares.sum(-1, keepdims=True)

    def ranking(self, logits: Array) -> Array:
        """The predicted grade first, then by probability: it need not be the likeliest one."""
        shares = self.probabilities(logits)
        return shares + jax.nn.one_hot(jnp.sum(logits > 0, -1), shares.shape[-1])

    def collector(self) -> "Agreement":
        """For one pass over a split."""
        return Agreement()


def mean_square(logits: Array, targets: Array) -> Array:
    """The mean of squared differences, `[batch, amounts]` twice to `[batch]`."""
    return jnp.mean(jnp.square(logits - targets), -1)


@dataclasses.dataclass(frozen=True)
class Estimate(Classify):
    """Regression: `batch["label"]` float `[batch, amounts]`, of which the net tells as many.

    `scale` are units of the amounts, such as their deviations over the training split: the loss is
    the mean of squared errors over them. Metrics: `loss`, `absolute_error` in the amounts' own
    unit, and over a split `r2`, the share of their variance that is explained.
    """

    scale: tuple[float, ...] = (1.0,)
    criterion: Callable[[Array, Array], Array] = mean_square

    def targets(self, label: Array, logits: Array) -> Array:
        return label.astype(logits.dtype) / jnp.asarray(self.scale, logits.dtype)[None]

    def losses(self, logits: Array, label: Array) -> Array:
        return self.criterion(logits, self.targets(label, logits))

    def metrics(self, losses: Array, logits: Array, batch: Batch) -> Metrics:
        valid = batch.get("valid")
        apart = jnp.abs(logits * jnp.asarray(self.scale)[None] - batch["label"])
        return {
            "loss": total(losses, valid),
            "absolute_error": total(jnp.mean(apart, -1), valid),
            "examples": (total(jnp.ones_like(losses), valid)[0], jnp.ones(())),
        }

    def outputs(self, variables: Any, batch: Batch) -> dict[str, Array]:
        """`amount` and `label` `[batch, amounts]`."""
        rows = super().outputs(variables, batch)
        scale = jnp.asarray(self.scale)[None]
        return {**rows, "amount": rows["logits"] * scale}

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`amount` `[batch, amounts]`."""
        logits: Any = self.model.apply(variables, self.normalize(batch["image"]), train=False)
        return {"amount": logits * jnp.asarray(self.scale)[None]}

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        return Column("amount", tuple(classes)), Column("estimate", right=True)

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        amounts = {case.class_name(n): float(x) for n, x in enumerate(results["amount"])}
        rows = [(name, f"{amount:.4g}") for name, amount in amounts.items()]
        drawing = fitted(case.picture()) if draw else None
        return Prediction(rows=rows, record={"amounts": amounts}, drawing=drawing)

    def legend(self, classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
        return ()

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        pairs = zip(case.arrays["label"].tolist(), results["amount"].tolist(), strict=True)
        told = (
            f"{case.class_name(n)} true {true:.4g}, estimated {amount:.4g}"
            for n, (true, amount) in enumerate(pairs)
        )
        return Picture(flat(case.picture()), "; ".join(told))

    def collector(self) -> "Explained":
        """For one pass over a split."""
        return Explained()


class Agreement:
    """Gathers grades, true and predicted."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        grades = (np.asarray(outputs["logits"]) > 0).sum(-1)
        self.rows.append(np.stack([np.asarray(outputs["label"]), grades]))

    def result(self) -> dict[str, float]:
        """`kappa`; nan where all grades are one and the same."""
        if not self.rows:
            return {}
        label, grades = np.concatenate(self.rows, -1)
        if len(np.unique(np.concatenate([label, grades]))) < 2:
            return {"kappa": float("nan")}
        return {"kappa": float(metrics.cohen_kappa_score(label, grades, weights="quadratic"))}


class Explained:
    """Gathers amounts, true and estimated."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        self.rows.append(np.stack([np.asarray(outputs["label"]), np.asarray(outputs["amount"])]))

    def result(self) -> dict[str, float]:
        """`r2`, the mean over the amounts; nan with fewer than two examples."""
        if not self.rows:
            return {}
        label, amount = np.concatenate(self.rows, 1)
        if len(label) < 2:
            return {"r2": float("nan")}
        return {"r2": float(metrics.r2_score(label, amount))}
