"""The train step and the evaluation step: pure functions, jitted once by the loop."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jresnet.tasks.base import (
    CONSTANTS,
    MEMORY,
    Batch,
    Collects,
    MeasuresOnce,
    Metrics,
    Task,
    Variables,
    add,
    total,
)
from jresnet.train.optim import rate_of
from jresnet.train.state import TrainState

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
VALID = "valid"
Outputs = dict[str, jax.Array]
EvalStep = Callable[[Variables, Batch, Metrics], tuple[Metrics, Outputs]]


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    rng: jax.Array,
    accumulate: int = 1,
    ema_decay: float | None = None,
    constants: Any = None,
) -> TrainStep:
    """One update: gradients of `task.loss`, optimizer, moving average.

    `accumulate` splits the batch into as many parts, one after the other, and averages their
    gradients: BatchNorm sees the parts, its running statistics all of them in turn, and the
    optimizer one step. `ema_decay` keeps a moving average of parameters and model state. Where the
    optimizer tells its learning rate (`optim.scheduled`), that is one of the metrics. The task finds
    `constants`, if there are any, among the variables.
    """
    rate = rate_of(optimizer)
    fixed = {} if constants is None else {CONSTANTS: constants}

    def gradients(state: TrainState, model_state: Any, batch: Batch, key: jax.Array) -> Any:
        def loss(params: Any) -> Any:
            return task.loss({"params": params, **model_state, **fixed}, batch, key)

        (_, (new_model_state, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(
            state.params
        )
        return grads, new_model_state, metrics

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(rng, state.step)
        if accumulate == 1:
            grads, model_state, metrics = gradients(state, state.model_state, batch, key)
        else:
            grads, model_state, metrics = accumulated(gradients, accumulate, state, batch, key)
        if rate is not None:
            metrics = {**metrics, "learning_rate": (jnp.asarray(rate(state.step)), jnp.ones(()))}
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average: Any = state.average
        if ema_decay is not None:
            new = {"params": params, **model_state}
            new.pop(MEMORY, None)
            average = optax.incremental_update(new, average, 1 - ema_decay)
        new_state = TrainState(state.step + 1, params, model_state, opt_state, average)
        return new_state, metrics

    return train_step


def accumulated(
    gradients: Callable[..., Any], parts: int, state: TrainState, batch: Batch, key: jax.Array
) -> Any:
    """Mean gradients, last model state and summed metrics over `parts` parts of the batch.

    Part `i` takes every `parts`-th row from row `i` on, so that it stays spread over the devices.
    """

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1)

    def one(model_state: Any, part: Any) -> Any:
        number, batch = part
        grads, model_state, metrics = gradients(
            state, model_state, batch, jax.random.fold_in(key, number)
        )
        return model_state, (grads, metrics)

    inputs = (jnp.arange(parts), jax.tree.map(split, dict(batch)))
    model_state, (grads, metrics) = jax.lax.scan(one, state.model_state, inputs)
    grads = jax.tree.map(lambda g: g.mean(0), grads)
    return grads, model_state, jax.tree.map(lambda m: m.sum(0), metrics)


def make_eval_step(task: Task) -> tuple[EvalStep, Callable[[Variables, Batch], Metrics]]:
    """A function that adds a batch's metrics to those so far, on the device, and one for empty sums.

    It also gives the batch's outputs, with `valid`, for a task that collects them, out of one pass
    of the net: the compiler computes once what metrics and outputs have in common. The metrics of a
    batch that says so count how many of its examples are `broken`.
    """

    # jitted by itself, so that what to begin with costs no second trace of the net.
    @jax.jit
    def metrics_of(variables: Variables, batch: Batch) -> tuple[Metrics, Outputs]:
        outputs: Outputs = {}
        if isinstance(task, Collects) and isinstance(task, MeasuresOnce):
            metrics, outputs = task.measured(variables, batch)
        else:
            metrics = task.evaluate(variables, batch)
            if isinstance(task, Collects):
                outputs = task.outputs(variables, batch)
        if outputs:
            outputs = {**outputs, VALID: batch[VALID]}
        if "broken" in batch:
            metrics = {**metrics, "broken": total(batch["broken"])}
        return metrics, outputs

    def eval_step(variables: Variables, batch: Batch, so_far: Metrics) -> tuple[Metrics, Outputs]:
        metrics, outputs = metrics_of(variables, batch)
        return add(so_far, metrics), outputs

    def nothing(variables: Variables, batch: Batch) -> Metrics:
        shapes, _ = jax.eval_shape(metrics_of, variables, batch)
        return jax.tree.map(lambda metric: jnp.zeros(metric.shape, metric.dtype), shapes)

    return eval_step, nothing
