"""The train state: everything that a step changes and a checkpoint holds."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jresnet.errors import UsageError
from jresnet.models.scan import stack, unstack
from jresnet.tasks.base import MEMORY, Batch, Task, Variables


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """`model_state` holds the collections beside `params`, such as `batch_stats` and `memory`.

    `average` is the exponential moving average of params *and* model state, `memory` left out, or
    None. There is no random key: each step folds its number into the experiment's.
    """

    step: jax.Array
    params: Any
    model_state: dict[str, Any]
    opt_state: Any
    average: dict[str, Any] | None = None

    @property
    def variables(self) -> Variables:
        """The variables that the model is trained with."""
        return {"params": self.params, **self.model_state}

    @property
    def evaluated(self) -> Variables:
        """The variables that the model is evaluated with: the average where one is kept."""
        if self.average is None:
            return self.variables
        if MEMORY not in self.model_state:
            return self.average
        return {**self.average, MEMORY: self.model_state[MEMORY]}


def create(
    task: Task, optimizer: optax.GradientTransformation, rng: jax.Array, batch: Batch, ema: bool
) -> TrainState:
    """A fresh state at step 0; pure."""
    variables = dict(task.init(rng, batch))
    params = variables.pop("params")
    averaged = {"params": params, **{k: v for k, v in variables.items() if k != MEMORY}}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        model_state=variables,
        opt_state=optimizer.init(params),
        # Copied: a donated state may not hold one buffer twice.
        average=jax.tree.map(jnp.copy, averaged) if ema else None,
    )


def starting_from(variables: Variables | None, state: TrainState) -> TrainState:
    """A fresh `state` with the leaves of `variables`, which are in canonical (unrolled) form.

    Leaves that `variables` lack stay fresh. The moving average starts from the same. Raises UsageError
    for a leaf that the net does not have, or of another shape.
    """
    if variables is None:
        return state
    net = {name: tree for name, tree in state.variables.items() if name != MEMORY}
    memory = {name: tree for name, tree in state.model_state.items() if name == MEMORY}
    fresh = unstack(net)
    scanned = jax.tree.structure(fresh) != jax.tree.structure(net)
    leaves = {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(variables))
    }

    def start(path: Any, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path)
        value = leaves.pop(name, leaf)
        if value.shape != leaf.shape:
            raise UsageError(f"start{name} is {value.shape}, the net has {leaf.shape}")
        # Copied: the step takes its state's buffers, and `variables` may start another run.
        return jax.device_put(jnp.array(value, leaf.dtype), leaf.sharding)

    started = jax.tree_util.tree_map_with_path(start, fresh)
    if leaves:
        raise UsageError(f"the net has no {', '.join(leaves)} to start from")
    started = dict(stack(started) if scanned else started)
    average = None if state.average is None else jax.tree.map(jnp.copy, started)
    params = started.pop("params")
    model_state = {**started, **memory}
    new = dataclasses.replace(state, params=params, model_state=model_state, average=average)
    # Stacked arrays are made anew, wherever the compiler puts them.
    return jax.device_put(new, jax.tree.map(lambda leaf: leaf.sharding, state))
