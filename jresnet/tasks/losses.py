"""Losses of logits against class probabilities, beside optax's softmax cross-entropy."""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class BinaryCrossEntropy:
    """Every class a yes-or-no question: sigmoid cross-entropy, the mean over the classes.

    Targets above `threshold`, where one is given, count as 1 and others as 0, so that a mixed
    image holds all of its classes (Wightman et al. 2021, arXiv:2110.00476, section 3.1).
    `positive_weights`, one a class, multiply the loss of targets that are 1, so that rare classes
    count as much as others.
    """

    threshold: float | None = None
    positive_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_weights("positive_weights", self.positive_weights)

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """`[batch, classes]` twice to `[batch]`."""
        if self.threshold is not None:
            targets = (targets > self.threshold).astype(logits.dtype)
        if not self.positive_weights:
            return optax.sigmoid_binary_cross_entropy(logits, targets).mean(-1)
        weights = _as_row("positive_weights", self.positive_weights, logits)
        yes, no = -jax.nn.log_sigmoid(logits), -jax.nn.log_sigmoid(-logits)
        return (weights * targets * yes + (1 - targets) * no).mean(-1)


@dataclasses.dataclass(frozen=True)
class WeightedCrossEntropy:
    """Softmax cross-entropy, each class with a weight; the mean over a batch is not divided by them.

    Weights that `jresnet.data.class_weights.balanced` gives have a mean of 1 over the training
    examples, so that learning rates stay.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        _check_weights("weights", self.weights)

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """`[batch, classes]` twice to `[batch]`. Raises UsageError for other classes."""
        weights = _as_row("weights", self.weights, logits)
        return -jnp.sum(weights * targets * jax.nn.log_softmax(logits), -1)


def _check_weights(name: str, weights: tuple[float, ...]) -> None:
    for weight in weights:
        if not 0 <= weight < float("inf"):
            raise UsageError(f"{name}={weight}: expected 0 or more")


def _as_row(name: str, weights: tuple[float, ...], logits: jax.Array) -> jax.Array:
    if len(weights) != logits.shape[-1]:
        raise UsageError(f"{name}={weights}: expected {logits.shape[-1]}, one a class")
    return jnp.asarray(weights, logits.dtype)[None]


YES_OR_NO = BinaryCrossEntropy()
