"""Gradients by hand and by jax.grad, and the net as a sum, in float64."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jresnet.analysis.backpropagation import gradients
from jresnet.analysis.chain import chain
from jresnet.analysis.derived_block import flattened
from jresnet.analysis.expansion import expand
from jresnet.studies.subjects import Subject


class Agreement(NamedTuple):
    """A parameter's largest gradient, and the largest difference between the methods."""

    name: str
    size: int
    largest: float
    difference: float


class Terms(NamedTuple):
    """Shares of each term in the last block's output `h_L`.

    - blocks: their names.
    - start: share of `h_0`.
    - branches: share of each block's branch `[blocks]`.
    - corrections: share of the change by each ReLU after an addition `[blocks]`.
    - error: difference between the sum of all terms and `h_L`, relative to its largest entry.
    """

    blocks: tuple[str, ...]
    start: float
    branches: np.ndarray
    corrections: np.ndarray
    error: float


def measure(subject: Subject, examples: int, seed: int) -> tuple[list[Agreement], Terms]:
    """Compare the gradients and expand the net, on `examples` images of the training split."""
    batch = subject.examples("train", examples, seed)
    with jax.enable_x64(True):
        return compare(subject, batch), terms(subject, batch)


def compare(subject: Subject, batch: Mapping[str, np.ndarray]) -> list[Agreement]:
    """Compare the gradients of the mean cross-entropy by each parameter, and by the images."""
    variables, labels = double(subject.variables), jnp.asarray(batch["label"])
    images = double(subject.normalize(jnp.asarray(batch["image"])))

    def loss(params: Any, images: jax.Array) -> jax.Array:
        logits, _ = subject.model.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    params, dimages = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], images)
    expected = flattened({"params": params, "images": dimages})
    _, derived = gradients(chain(subject.classifier), variables, images, labels)
    by_hand = flattened(derived)
    return [
        Agreement(
            name.removeprefix("params/"),
            value.size,
            float(abs(value).max()),
            float(abs(by_hand[name] - value).max()),
        )
        for name, value in sorted(expected.items(), key=lambda item: _order(item[0]))
    ]


def _order(name: str) -> tuple[int, str]:
    """The stem first, then the stages, the head and the images."""
    marks = ("stem", "stage", "backbone/norm", "head", "images")
    return next(i for i, mark in enumerate(marks) if mark in name), name


def terms(subject: Subject, batch: Mapping[str, np.ndarray]) -> Terms:
    """The longest sequence of blocks as a sum; the error is the largest of all sequences."""
    variables = double(subject.variables)
    images = double(subject.normalize(jnp.asarray(batch["image"])))
    expansions = expand(chain(subject.classifier), variables, images)
    longest = max(expansions, key=lambda expansion: len(expansion.blocks))
    start, branches, corrections = (np.asarray(share) for share in longest.shares())
    error = max(float(expansion.error()) for expansion in expansions)
    return Terms(tuple(longest.blocks), float(start), branches, corrections, error)


def double(tree: Any) -> Any:
    """Arrays as float64."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)
