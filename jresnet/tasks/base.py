"""What a task is, and metrics that add up exactly.

A metric is a pair (sum, count). Pairs are added over steps, devices and batches and divided once
at the end, so every example weighs the same however the batches fall.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

Array = jax.Array
Batch = Mapping[str, Array]
Variables = Mapping[str, Any]  # {"params": ..., and what the model keeps, such as "batch_stats"}
Metrics = dict[str, tuple[Array, Array]]


class Task(Protocol):
    """An objective: owns the forward pass, knows nothing of optimizers, loops and devices."""

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        """Fresh variables for batches of this shape; pure, run under `jit`."""
        ...

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        """Scalar to be minimised, the model's new state (all but `params`), metrics."""
        ...

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        """Metrics of one batch; examples whose `batch["mask"]` is 0 count for nothing.

        One of them is `examples`: how many there were.
        """
        ...


class Predicts(Protocol):
    """A task whose outputs of single examples can be kept, for what does not add up (ROC, AP)."""

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Arrays `[batch, ...]`, in evaluation mode."""
        ...


@runtime_checkable
class Pictures(Protocol):
    """A task that shows what its net sees."""

    def pictures(self, batch: Batch, rng: Array) -> Array:
        """The images that `loss`, called with the same, trains on: `[batch, H, W, C]` in [0, 1]."""
        ...


def total(values: Array, mask: Array | None = None) -> tuple[Array, Array]:
    """(sum, count) of per-example values `[batch]`, float32, of those with mask 1."""
    weights = jnp.ones_like(values, jnp.float32) if mask is None else mask.astype(jnp.float32)
    return jnp.sum(values.astype(jnp.float32) * weights), jnp.sum(weights)


def add(one: Metrics, other: Metrics) -> Metrics:
    """Metrics of two batches together."""
    return {key: (one[key][0] + other[key][0], one[key][1] + other[key][1]) for key in one}
