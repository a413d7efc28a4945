"""The collector of a trained net's task over a whole split, for the pages of studies."""

from typing import Any

import jax
import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.tasks.base import Array, Batch, Variables
from jresnet.train.data import Data
from jresnet.weights.run import read_variables


def collected(
    experiment: Experiment, result: Result, split: str = "test", data: Data | None = None
) -> Any:
    """The collector of the experiment's task, full, as the run itself measured the split.

    With `data` the split is that of other data, such as more views of the same videos.
    """
    task: Any = experiment.task

    @jax.jit
    def step(variables: Variables, batch: Batch) -> dict[str, Array]:
        return task.outputs(variables, batch)

    variables = jax.device_put(read_variables(result.folder / "checkpoints"))
    collector = task.collector()
    for batch in (data or experiment.data).examples(split, (0, 1)):
        outputs = jax.device_get(step(variables, batch))
        real = np.asarray(batch["valid"]) > 0
        collector.add({name: rows[real] for name, rows in outputs.items()})
    return collector
