"""A residual net as the set of its paths: their lengths, and the gradient that each carries.

Veit et al. 2016 (arXiv:1605.06431, sections 3 and 5). A path passes each of n blocks through its
branch or through its shortcut, so there are 2^n paths; a path's length is its number of branches.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jresnet.analysis.chain import Chain, Variables
from jresnet.models.heads import Classifier
from jresnet.tasks.base import Array, Batch


def path_lengths(blocks: int) -> np.ndarray:
    """The share of paths of each length 0, 1, ..., `blocks`: Binomial(blocks, 1/2)."""
    return np.array([math.comb(blocks, length) / 2**blocks for length in range(blocks + 1)])


def effective_lengths(shares: np.ndarray, least: float = 0.95) -> tuple[int, int]:
    """The shortest range of lengths, first and last, with at least `least` of the sum of `shares`.

    If there are several, the one with the largest sum.
    """
    total, count = np.concatenate([[0.0], np.cumsum(shares)]), len(shares)
    for width in range(1, count + 1):
        held = total[width:] - total[:-width]
        first = int(np.argmax(held))
        if held[first] >= least * total[-1]:
            return first, first + width - 1
    return 0, count - 1


class PathGradients:
    """Gradients of single paths at the first block's input.

    The forward pass is that of the whole net. The backward pass goes through the branches of the
    chosen blocks and the shortcuts of all others. The gradients of all 2^n paths add up to that of
    the loss. BatchNorm is in evaluation mode. In a pre-activation block with a projection, both
    ways include the norm and activation that the projection and the branch share.
    """

    def __init__(self, net: Chain, variables: Variables, batch: Batch):
        """Run the net on `batch`: normalised `image`, and `label`; `valid` is missing or all 1."""
        variables = jax.device_put(dict(variables))
        self.links = [
            {way: (block.through(way).module, block.select(variables)) for way in WAYS}
            for block in net.blocks
        ]
        self.inputs = [jax.jit(net.stem)(variables, batch["image"])]
        for block in net.blocks:
            self.inputs.append(_forward(block.module, block.select(variables), self.inputs[-1]))
        self.last = jax.jit(jax.grad(functools.partial(_loss, net.head, batch["label"])))(
            self.inputs[-1], variables
        )

    def __call__(self, chosen: Sequence[int]) -> Array:
        """The gradient of the mean loss along the path through the branches of blocks `chosen`.

        Blocks are numbered from 0. The shape is that of the first block's input,
        `[batch, *spatial, channels]`.
        """
        gradient = self.last
        for number in reversed(range(len(self.links))):
            module, selected = self.links[number]["branch" if number in chosen else "shortcut"]
            gradient = _pull(module, selected, self.inputs[number], gradient)
        return gradient

    def norms(
        self,
        length: int,
        samples: int,
        rng: np.random.Generator,
        progress: Callable[[int], object] = lambda count: None,
    ) -> np.ndarray:
        """`[samples]` norms, over the whole batch, of random paths of one length."""
        sizes = []
        for _ in range(samples):
            chosen = rng.choice(len(self.links), length, replace=False)
            sizes.append(float(jnp.linalg.norm(self(chosen.tolist()))))
            progress(1)
        return np.array(sizes)


WAYS = ("shortcut", "branch")


def _loss(head: Callable[..., Array], labels: Array, x: Array, variables: Variables) -> Array:
    logits = head(variables, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@functools.partial(jax.jit, static_argnums=0)
def _forward(module: nn.Module, variables: Mapping[str, Any], x: Array) -> Array:
    y: Any = module.apply(variables, x, train=False)
    return y


@functools.partial(jax.jit, static_argnums=0)
def _pull(module: nn.Module, variables: Mapping[str, Any], x: Array, gradient: Array) -> Array:
    """`gradient` at the block's output, propagated to its input."""
    return jax.vjp(lambda x: _forward(module, variables, x), x)[1](gradient)[0]


class ShortPaths(Classifier):
    """A classifier that trains with `modules` random blocks, drawn anew for every batch.

    No path is longer than `modules` (section 5: 23 of 54, on average 11.5). The branches of the
    drawn blocks are multiplied by blocks / modules: the sum of all branches at test time is then
    the average sum in training. Drop-path does the same; the paper does not say. The variables are
    those of the classifier.
    """

    modules: int = 1

    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> Array:
        if train:
            net: Any = self.backbone
            blocks = sum(net.depths)
            kept = jax.random.permutation(self.make_rng("dropout"), blocks) < self.modules
            backbone["gates"] = kept * (blocks / self.modules)
        return super().__call__(x, train=train, **backbone)
