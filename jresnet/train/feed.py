"""The input of a dispatch: the batches of one step or of several, whole or as rows of a set that
lies on the device."""

import itertools
from collections.abc import Generator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jresnet.errors import UsageError
from jresnet.runtime import mesh as meshes
from jresnet.tasks.base import Array, Batch, Metrics
from jresnet.train.data import Data, HostBatch, Resident, Shapes, batch_shapes
from jresnet.train.state import TrainState
from jresnet.train.step import TrainStep

ROW = "row"


class Feed:
    """The batches of `data`, `steps` of them a dispatch.

    Data that is `Resident` lies on every device as a whole; all that is moved for a batch are the
    numbers of its rows. Raises UsageError for several steps a dispatch of batches that differ in
    shape.
    """

    def __init__(self, data: Data, mesh: Mesh, steps: int = 1):
        self.data, self.mesh, self.steps = data, mesh, steps
        self.resident = data if isinstance(data, Resident) and data.resident() else None
        self.table: Mapping[str, Array] = {}
        if self.resident:
            self.table = meshes.put_replicated(dict(self.resident.resident() or {}), mesh)
        if steps > 1 and len(self.shapes) > 1:
            raise UsageError(
                f"steps_per_dispatch={steps}: expected 1, the batches have {len(self.shapes)} shapes"
            )

    @property
    def shapes(self) -> list[Shapes]:
        """Shapes of the input of a dispatch, one entry a bucket: each is a program of its own."""
        batches = batch_shapes(self.data)
        if self.resident:
            batches = [{ROW: jax.ShapeDtypeStruct((self.data.batch_size,), np.int32)}]
        leading = () if self.steps == 1 else (self.steps,)
        return [
            {
                name: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype, sharding=self._sharding)
                for name, x in batch.items()
            }
            for batch in batches
        ]

    def batches(self, start: int, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """This host's rows of the batches `start, start + 1, ...`, as many at a time as go into a
        dispatch: `[steps, batch, ...]`, with one step `[batch, ...]`."""
        one = self.resident.rows(start, host) if self.resident else self.data.train(start, host)
        try:
            if self.steps == 1:
                yield from one
            while together := list(itertools.islice(one, self.steps)):
                yield {name: np.stack([b[name] for b in together]) for name in together[0]}
        finally:
            one.close()

    def put(self, batches: HostBatch) -> dict[str, jax.Array]:
        """A dispatch's batches, over the devices."""
        return {
            name: jax.make_array_from_process_local_data(self._sharding, rows)
            for name, rows in batches.items()
        }

    def first(self, batches: HostBatch) -> HostBatch:
        """The first batch of a dispatch, with rows looked up in the resident set."""
        batch = batches if self.steps == 1 else {name: x[0] for name, x in batches.items()}
        arrays = self.resident.resident() if self.resident else None
        return {name: x[batch[ROW]] for name, x in arrays.items()} if arrays else batch

    def run(
        self, step: TrainStep, state: TrainState, batches: Batch, table: Batch
    ) -> tuple[TrainState, Metrics]:
        """Inside of a program: the steps of one dispatch, and their metrics added up."""

        def one(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
            if table:
                batch = {name: x[batch[ROW]] for name, x in table.items()}
            return step(state, batch)

        if self.steps == 1:
            return one(state, batches)
        state, metrics = jax.lax.scan(one, state, dict(batches))
        return state, jax.tree.map(lambda m: jnp.sum(m, 0), metrics)

    @property
    def _sharding(self) -> NamedSharding:
        axes = ("data",) if self.steps == 1 else (None, "data")
        return NamedSharding(self.mesh, PartitionSpec(*axes))
