"""Outputs of a trained task for single examples, gathered on the host."""

from collections.abc import Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from jresnet.runtime import mesh as meshes
from jresnet.tasks.base import GivesOutputs, Variables
from jresnet.train.data import Data


def collect(
    task: GivesOutputs, variables: Variables, data: Data, split: str, mesh: Mesh
) -> dict[str, np.ndarray]:
    """`task.outputs` of every example of a split, in the split's order, on every host."""
    host = meshes.host(mesh)
    step = jax.jit(task.outputs, out_shardings=meshes.replicated(mesh))
    # Hosts read blocks of rows; valid and index go the same way as the outputs.
    gather = jax.jit(lambda rows: rows, out_shardings=meshes.replicated(mesh))
    parts: list[Mapping[str, np.ndarray]] = []
    index: list[np.ndarray] = []
    for batch in data.examples(split, host):
        laid = meshes.put_batch(batch, mesh)
        valid, places = meshes.fetch(gather((laid["valid"], laid["index"])))
        outputs = meshes.fetch(step(variables, laid))
        parts.append({name: rows[valid > 0] for name, rows in outputs.items()})
        index.append(places[valid > 0])
    order = np.argsort(np.concatenate(index))  # with buckets they come bucket by bucket
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
