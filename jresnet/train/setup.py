"""Preparations of `fit` before the first step: shapes, the first state, compiled steps."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jresnet.data.broken import check
from jresnet.errors import UsageError
from jresnet.runtime import mesh as meshes
from jresnet.tasks.base import CONSTANTS, Batch, Collector, Collects, Metrics, Task, summarize
from jresnet.train.data import Data, Shapes
from jresnet.train.feed import Feed
from jresnet.train.sharding import Rules, lay_out, shardings_of
from jresnet.train.state import TrainState, create
from jresnet.train.step import VALID, Outputs, TrainStep, make_eval_step

logger = logging.getLogger(__name__)

# Batches of an evaluation whose sums are added on the device, where a count of 32 bits ends at
# 2 ** 32: few enough for the pixels of so many batches of large images.
SPILLED = 16
Results = dict[str, dict[str, float]]
Evaluate = Callable[[TrainState, tuple[str, ...], Callable[[str], None]], Results]


def spread(batch: Shapes, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of a global batch, its rows over the mesh's data axis."""
    sharding = meshes.over_data(mesh)
    return {
        name: jax.ShapeDtypeStruct(rows.shape, rows.dtype, sharding=sharding)
        for name, rows in batch.items()
    }


def initialisation(
    task: Task,
    optimizer: optax.GradientTransformation,
    ema_decay: float | None,
    batch: Shapes,
    mesh: Mesh,
    sharding: Rules = (),
) -> tuple[Callable[[jax.Array], TrainState], TrainState]:
    """A function from a key to the state at step 0, and that state's shapes and shardings.

    Raises UsageError if the model does not take such batches, or for a rule of `sharding` that
    cannot be followed.
    """

    def init(key: jax.Array) -> TrainState:
        zeros = {name: jnp.zeros(rows.shape, rows.dtype) for name, rows in batch.items()}
        return create(task, optimizer, key, zeros, ema=ema_decay is not None)

    try:
        shapes = jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))
    except ValueError as error:
        sizes = ", ".join(f"{name} {rows.shape}" for name, rows in batch.items())
        raise UsageError(f"the model does not take batches of {sizes}: {error}") from error
    abstract = lay_out(shapes, sharding, mesh)

    def initialise(key: jax.Array) -> TrainState:
        # Runs once. Optimising it takes XLA:CPU 5 to 8 s, and 1 to 3 s to do without.
        cpu = jax.default_backend() == "cpu"
        options: Any = {"xla_backend_optimization_level": 0} if cpu else None
        lowered = jax.jit(init, out_shardings=shardings_of(abstract)).lower(key)
        return lowered.compile(compiler_options=options)(key)

    return initialise, abstract


def compiled(
    step: Callable[[jax.Array, Any], TrainStep],
    key: jax.Array,
    state: TrainState,
    feed: Feed,
    constants: Any = None,
) -> tuple[TrainStep, float]:
    """`step(key, constants)` compiled for every shape of `feed`, its state donated; seconds it took.

    `state` has shapes and shardings; the next state is laid out as it is.
    Key and constants, which lie on the mesh, are arguments of the program and not constants in it:
    runs that differ in nothing but their seed share a cached program.
    """
    begun = time.perf_counter()
    numbers = meshes.put_replicated(jax.random.key_data(key), feed.mesh)
    fixed = {"key": numbers, "table": feed.table, "constants": constants}

    def train_step(
        state: TrainState, batch: Batch, key: jax.Array, table: Batch, constants: Any
    ) -> tuple[TrainState, Metrics]:
        return feed.run(step(jax.random.wrap_key_data(key), constants), state, batch, table)

    laid = (shardings_of(state), meshes.replicated(feed.mesh))
    jitted = jax.jit(train_step, donate_argnums=0, out_shardings=laid)
    programs = {
        shapes_of(batch): jitted.lower(state, batch, **fixed).compile() for batch in feed.shapes
    }
    return Programs(programs, fixed), time.perf_counter() - begun


def shapes_of(batch: Mapping[str, Any]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """A batch's arrays by their names and shapes, which is what tells programs apart."""
    return tuple(sorted((name, tuple(array.shape)) for name, array in batch.items()))


@dataclasses.dataclass(frozen=True)
class Programs:
    """The compiled train step for each shape of batches, and the arguments that all share."""

    programs: Mapping[Any, Any]
    fixed: Mapping[str, Any]

    def __call__(self, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        return self.programs[shapes_of(batch)](state, batch, **self.fixed)


def evaluator(
    task: Task, data: Data, mesh: Mesh, host: tuple[int, int], constants: Any = None
) -> Evaluate:
    """A function that evaluates a state on splits, counting every example exactly once.

    Examples whose file is broken are not evaluated; the metrics then say how many, as `not_evaluated`.
    Outputs that a task collects are gathered in the same pass, on every host. `constants` lie on
    the mesh. The function calls its last argument with the split's name after every batch, and
    stops if that raises.
    """
    step, nothing = make_eval_step(task)
    eval_step = jax.jit(step, out_shardings=meshes.replicated(mesh))

    def evaluate(
        state: TrainState, splits: tuple[str, ...], between: Callable[[str], None]
    ) -> Results:
        variables = state.evaluated
        if constants is not None:
            variables = {**variables, CONSTANTS: constants}
        results = {}
        for split in splits:
            sums: Metrics | None = None
            totals: Metrics | None = None
            collector = task.collector() if isinstance(task, Collects) else None
            with contextlib.closing(data.examples(split, host)) as batches:
                for number, batch in enumerate(batches, 1):
                    laid = meshes.put_batch(batch, mesh)
                    before = sums or meshes.put_replicated(nothing(variables, laid), mesh)
                    sums, outputs = eval_step(variables, laid, before)
                    # One batch ahead of the device and no more: what is called between batches
                    # would otherwise come long before they are computed.
                    jax.block_until_ready(before)
                    if collector is not None:
                        _gather(collector, outputs)
                    if number % SPILLED == 0:
                        totals, sums = _added(totals, meshes.fetch(sums)), None
                    between(split)
            if sums is not None:
                totals = _added(totals, meshes.fetch(sums))
            if totals is None:
                raise UsageError(f"split {split!r} holds no examples")
            lost = int(totals.pop("broken", (0, 0))[0])
            counted, size = int(totals["examples"][0]), data.size(split)
            if counted + lost != size:
                raise AssertionError(f"{split}: {counted + lost} examples were met, not {size}")
            results[split] = summarize(task, totals) | (collector.result() if collector else {})
            if lost:
                # Of all hosts; each has named its own.
                check(split, lost, size)
                logger.warning(
                    "%s: %d of %d examples, broken, were not evaluated", split, lost, size
                )
                results[split]["not_evaluated"] = lost
        return results

    return evaluate


def _added(totals: Metrics | None, sums: Metrics) -> Metrics:
    """Sums on the host in float64, in which counts are exact up to 2 ** 53."""
    wide: Any = jax.tree.map(lambda value: np.asarray(value, np.float64), sums)
    return wide if totals is None else jax.tree.map(np.add, totals, wide)


def _gather(collector: Collector, outputs: Outputs) -> None:
    """The real rows of a batch's outputs, to the collector."""
    rows = meshes.fetch(outputs)
    real = rows.pop(VALID) > 0
    collector.add({name: values[real] for name, values in rows.items()})
