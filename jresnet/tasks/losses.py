"""Losses of logits against class probabilities, beside optax's softmax cross-entropy."""

import dataclasses

import jax
import optax


@dataclasses.dataclass(frozen=True)
class BinaryCrossEntropy:
    """Every class a yes-or-no question: sigmoid cross-entropy, the mean over the classes.

    Targets above `threshold`, where one is given, count as 1 and others as 0, so that a mixed
    image holds all of its classes (Wightman et al. 2021, arXiv:2110.00476, section 3.1).
    """

    threshold: float | None = None

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """`[batch, classes]` twice to `[batch]`."""
        if self.threshold is not None:
            targets = (targets > self.threshold).astype(logits.dtype)
        return optax.sigmoid_binary_cross_entropy(logits, targets).mean(-1)
