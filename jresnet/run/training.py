"""One training of a run: from where its folder stands to its result."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jax.sharding import Mesh

from jresnet.experiment import Experiment, Result
from jresnet.run import folder as run_folder
from jresnet.runtime import distributed
from jresnet.storage import replacing, write_json
from jresnet.tasks.base import GivesOutputs
from jresnet.train.board import Board
from jresnet.train.data import for_devices
from jresnet.train.log import NonFiniteLossError, OpensSink
from jresnet.train.loop import fit
from jresnet.train.outputs import collect

OUTPUTS = "outputs-{}.npz"


def train(
    experiment: Experiment,
    folder: Path,
    label: str,
    mesh: Mesh,
    patience: float | None = None,
    profile: bool = False,
    pictures: int = 0,
    saved: Callable[[], None] | None = None,
    sinks: Sequence[OpensSink] = (Board,),
) -> Result:
    """Train in `folder` from where it stands; a finished training is only read.

    The arguments are those of `jresnet.train.loop.fit`.
    """
    path = folder / run_folder.RESULT
    if not distributed.agree(path.exists()):
        experiment.data.check()
        begun = time.perf_counter()
        try:
            fitted = fit(
                experiment.task,
                experiment.optimizer,
                experiment.data,
                experiment.plan,
                folder,
                label,
                mesh,
                experiment.start,
                patience,
                profile,
                experiment.constants,
                experiment.sharding,
                pictures,
                saved,
                sinks,
            )
        except NonFiniteLossError as error:
            if not experiment.may_diverge:
                raise
            return _diverged(experiment, path, time.perf_counter() - begun, error)
        for split in experiment.keep_outputs:
            task, variables = cast(GivesOutputs, experiment.task), fitted.state.evaluated
            data = for_devices(experiment.data, mesh.shape["data"])
            outputs = collect(task, variables, data, split, mesh)
            if distributed.is_first():
                with replacing(folder / OUTPUTS.format(split)) as file:
                    cast(Any, np.savez)(file, **outputs)
        parameters = sum(leaf.size for leaf in jax.tree.leaves(fitted.state.params))
        if distributed.is_first():
            write_json(
                path,
                {
                    "metrics": fitted.metrics,
                    "seconds": round(fitted.seconds, 3),
                    "parameters": parameters,
                },
            )
        return Result(fitted.metrics, fitted.seconds, parameters, folder)
    if profile and distributed.is_first():
        logging.warning("%s is trained already: there are no steps to profile", label)
    return Result(**run_folder.read_result(path), folder=folder)


def _diverged(experiment: Experiment, path: Path, seconds: float, error: Exception) -> Result:
    """A training that ended in an infinite loss, as a result."""
    example = dict(experiment.data.example_batch)
    variables = jax.eval_shape(experiment.task.init, jax.random.key(0), example)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    result = {
        "metrics": {},
        "seconds": round(seconds, 3),
        "parameters": parameters,
        "diverged": str(error),
    }
    if distributed.is_first():
        write_json(path, result)
    return Result(**result, folder=path.parent)
