"""Confusion matrices of trained nets over a whole split."""

import jax
import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.tasks.base import Batch, Metrics, Variables
from jresnet.tasks.map_views import MapViews
from jresnet.tasks.segment import Segment
from jresnet.weights.run import read_variables


def confusion(
    experiment: Experiment,
    result: Result,
    task: Segment | MapViews | None = None,
    split: str = "test",
) -> np.ndarray:
    """Pixels of a split by true class (row) and predicted one, int64 `[classes, classes]`.

    `task` evaluates the trained net, by default as in training.
    """
    evaluated = experiment.task if task is None else task

    @jax.jit
    def step(variables: Variables, batch: Batch) -> Metrics:
        return evaluated.evaluate(variables, batch)

    variables = jax.device_put(read_variables(result.folder / "checkpoints"))
    total = 0
    for batch in experiment.data.examples(split, (0, 1)):
        total = total + np.asarray(step(variables, batch)["confusion"][0], np.int64)
    return np.asarray(total)
