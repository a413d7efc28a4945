"""Tasks, and metrics that add up exactly.

A metric is a pair (sum, count). Pairs are added over steps, devices and batches and divided once
at the end, so every example weighs the same however the batches fall. A sum may be an array, such
as a confusion matrix, of which the task then makes numbers (`Summarizes`). What does not add up,
such as average precision, is gathered on the host (`Collects`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.tasks.case import Case, Column, Legend, Picture, Prediction

Array = jax.Array
Batch = Mapping[str, Array]
Variables = Mapping[str, Any]  # {"params": ..., and what the model keeps, such as "batch_stats"}
Metrics = dict[str, tuple[Array, Array]]  # (sum, count); a sum may be an array

# A collection of variables that belongs to the task and not to the net: a world, a replay buffer,
# counters. It is checkpointed whole, and neither averaged nor read by those who want the net.
MEMORY = "memory"
# Under this name `loss` and `evaluate` find what an Experiment gives as `constants`.
CONSTANTS = "constants"


class Task(Protocol):
    """An objective: owns the forward pass, knows nothing of optimizers, loops and devices."""

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        """Fresh variables for batches of this shape; pure, run under `jit`.

        `params` are trained; other collections are what the net and the task keep, `memory` what
        the task alone does.
        """
        ...

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        """Scalar to be minimised, the model's new state (all but `params`), metrics."""
        ...

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        """Metrics of one batch; examples whose `batch["valid"]` is 0 count for nothing.

        One of them is `examples`: how many there were.
        """
        ...


class GivesOutputs(Protocol):
    """A task whose outputs of single examples can be kept, for what does not add up (ROC, AP)."""

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Arrays `[batch, ...]`, in evaluation mode."""
        ...


@runtime_checkable
class Summarizes(Protocol):
    """A task whose sums are not all numbers."""

    def summary(self, totals: Metrics) -> dict[str, float]:
        """Numbers of (sum, count) pairs that were added up, on the host."""
        ...


class Collector(Protocol):
    """Gathers the outputs of a split, on the host."""

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Take in the rows of one batch that are real, in the split's order."""
        ...

    def result(self) -> dict[str, float]:
        """Metrics of all that was added."""
        ...


@runtime_checkable
class Collects(Protocol):
    """A task with metrics that are no sums over examples: AP, AUC, TAR at FAR, FROC."""

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Arrays `[batch, ...]`, in evaluation mode."""
        ...

    def collector(self) -> Collector:
        """A fresh one, for one pass over a split."""
        ...


@runtime_checkable
class MeasuresOnce(Protocol):
    """A task that collects, with a loop over parts of an image: XLA does not make one of two loops."""

    def measured(self, variables: Variables, batch: Batch) -> tuple[Metrics, dict[str, Array]]:
        """The results of `evaluate` and of `outputs`."""
        ...


@runtime_checkable
class Predictor(Protocol):
    """A task that tells something of files, for `python -m jresnet predict RUN files...`.

    A file goes through `unlabelled`, the run's evaluation transform, `predict` in batches of equal
    shapes, and `present`.
    """

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        """A stored example of a file of which no truth is known: no boxes, class 0, an empty map."""
        ...

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Results `[batch, ...]` in evaluation mode. Pure, run under `jit`; reads no truth."""
        ...

    def columns(self, classes: Sequence[str]) -> Sequence[Column]:
        """The table's columns after that of the file's name; `classes` are names, if there are any."""
        ...

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        """One file's result; its drawing is left out unless `draw`. On the host."""
        ...


@runtime_checkable
class Shows(Protocol):
    """A task whose results can be looked at beside the truth, for reports and TensorBoard."""

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Results `[batch, ...]`; the same as a `Predictor`'s."""
        ...

    def legend(self, classes: Sequence[str]) -> Legend:
        """The meaning of each colour, in colours that the colour-blind tell apart."""
        ...

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        """Truth beside prediction of one example. On the host."""
        ...


@runtime_checkable
class Scores(Protocol):
    """A task that tells how good each result is, so that its worst, median and best are shown."""

    def scores(self, variables: Variables, batch: Batch) -> Array:
        """A number an example, `[batch]`, lower for a worse result; NaN is the worst."""
        ...


class Finding(NamedTuple):
    """A fault of a training.

    - cause: a word; each is warned of once.
    - line: the fault, its signs and a remedy.
    """

    cause: str
    line: str


@runtime_checkable
class Judges(Protocol):
    """A task that knows a failure of its trainings by their metrics."""

    def finding(
        self, records: Sequence[Mapping[str, float]], test: Mapping[str, float]
    ) -> Finding | None:
        """The fault after an evaluation, or None.

        Args:
            records: of training, oldest first, as metrics.jsonl holds them.
            test: of the evaluation.
        """
        ...


@runtime_checkable
class Pictures(Protocol):
    """A task that shows what its net sees."""

    def pictures(self, batch: Batch, rng: Array) -> Array:
        """The images that `loss`, called with the same, trains on: `[batch, H, W, C]` in [0, 1]."""
        ...


def total(values: Array, valid: Array | None = None) -> tuple[Array, Array]:
    """(sum, count) of per-example values `[batch]`, float32, of rows that are valid."""
    weights = jnp.ones_like(values, jnp.float32) if valid is None else valid.astype(jnp.float32)
    return jnp.sum(values.astype(jnp.float32) * weights), jnp.sum(weights)


def add(one: Metrics, other: Metrics) -> Metrics:
    """Metrics of two batches together."""
    return {key: (one[key][0] + other[key][0], one[key][1] + other[key][1]) for key in one}


def unit(task: Task | None) -> str:
    """The word for a row of a batch: the task's `unit`, such as "clip", by default "image"."""
    return getattr(task, "unit", "image")


def summarize(task: Task | None, totals: Metrics) -> dict[str, float]:
    """Numbers of metrics that were added up.

    Those of the task's `summary`, if it has one; otherwise sum / count of each. `examples` is a
    plain sum and left out. Raises TypeError for an array that no `summary` makes numbers of.
    """
    if isinstance(task, Summarizes):
        return {key: float(value) for key, value in task.summary(totals).items()}
    wide = [key for key, (sums, _) in totals.items() if np.ndim(sums)]
    if wide:
        raise TypeError(f"metrics {', '.join(wide)} are arrays: expected a task with a summary")
    return {
        key: float(sums) / float(count)
        for key, (sums, count) in totals.items()
        if key != "examples"
    }
