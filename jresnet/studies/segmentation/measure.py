"""Scores of trained nets over a whole split, and what they take each class for."""

from typing import Any

import jax
import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.tasks.base import Batch, Metrics, Variables
from jresnet.tasks.map_scores import scores_of
from jresnet.weights.run import read_variables

CONFUSION, VIEWS = "confusion", "views/confusion"


def confusion(experiment: Experiment, result: Result, split: str = "test") -> np.ndarray:
    """Pixels of a split by true class (row) and predicted one, int64 `[classes, classes]`."""
    return _confusions(experiment, result, experiment.task, split)[CONFUSION]


def scores_in(
    experiment: Experiment, result: Result, task: Any, split: str = "test"
) -> dict[str, float]:
    """The scores of a trained net's weights by another `Segment`, those of its views too."""
    matrices = _confusions(experiment, result, task, split)
    scores = scores_of(matrices[CONFUSION])
    if VIEWS in matrices:
        of_views = scores_of(matrices[VIEWS])
        scores |= {f"views/{name}": value for name, value in of_views.items()}
    return scores


def _confusions(
    experiment: Experiment, result: Result, task: Any, split: str
) -> dict[str, np.ndarray]:
    @jax.jit
    def step(variables: Variables, batch: Batch) -> Metrics:
        return task.evaluate(variables, batch)

    variables = jax.device_put(read_variables(result.folder / "checkpoints"))
    totals: dict[str, Any] = {}
    for batch in experiment.data.examples(split, (0, 1)):
        metrics = step(variables, batch)
        for name in (name for name in (CONFUSION, VIEWS) if name in metrics):
            totals[name] = totals.get(name, 0) + np.asarray(metrics[name][0], np.int64)
    return totals
