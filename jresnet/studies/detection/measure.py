"""A trained detector's scores over a whole split, with the curves behind them."""

import jax
import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.tasks.base import Array, Batch, Variables
from jresnet.tasks.detect import Detect
from jresnet.tasks.detection_collector import DetectionCollector
from jresnet.weights.run import read_variables


def collected(experiment: Experiment, result: Result, split: str = "test") -> DetectionCollector:
    """Everything that the trained net detects in a split, as the run itself measured it."""
    task = experiment.task
    assert isinstance(task, Detect)

    @jax.jit
    def step(variables: Variables, batch: Batch) -> dict[str, Array]:
        return task.outputs(variables, batch)

    variables = jax.device_put(read_variables(result.folder / "checkpoints"))
    collector = task.collector()
    for batch in experiment.data.examples(split, (0, 1)):
        outputs = step(variables, batch)
        real = np.asarray(batch["valid"]) > 0
        collector.add({name: np.asarray(rows)[real] for name, rows in outputs.items()})
    return collector
