"""A residual net as all its paths: how many are how long, and how much gradient each carries.

Veit et al. 2016 (arXiv:1605.06431, sections 3 and 5). Every block of n is passed through its
branch or through its shortcut, which makes 2^n paths; a path's length is its number of branches.
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
    """The shortest run of lengths, first and last, that holds `least` of the `shares`' sum.

    Of several the one that holds most.
    """
    total, count = np.concatenate([[0.0], np.cumsum(shares)]), len(shares)
    for width in range(1, count + 1):
        held = total[width:] - total[:-width]
        first = int(np.argmax(held))
        if held[first] >= least * total[-1]:
            return first, first + width - 1
    return 0, count - 1


class PathGradients:
    """Gradients at the first block's input of single paths, with activations of the whole net.

    Forward through everything, backward through the branches of the chosen blocks and the
    shortcuts of all others; the gradients of all 2^n paths add up to the loss's. BatchNorm is in
    evaluation mode. (What a pre-activation block's projection and branch read in common counts for
    each.)
    """

    def __init__(self, net: Chain, variables: Variables, batch: Batch):
        """`batch`: normalised `image` and `label`; `valid`, if there is one, all 1."""
        variables = jax.device_put(dict(variables))
        self.links = [
            {way: (block.through(way).module, block.own(variables)) for way in WAYS}
            for block in net.blocks
        ]
        self.inputs = [jax.jit(net.stem)(variables, batch["image"])]
        for block in net.blocks:
            self.inputs.append(_forward(block.module, block.own(variables), self.inputs[-1]))
        self.last = jax.jit(jax.grad(functools.partial(_loss, net.head, batch["label"])))(
            self.inputs[-1], variables
        )

    def __call__(self, chosen: Sequence[int]) -> Array:
        """Of the path through the branches of blocks `chosen` (from 0); like the first block's
        input, `[batch, *spatial, channels]`, of the mean loss."""
        gradient = self.last
        for number in reversed(range(len(self.links))):
            module, own = self.links[number]["branch" if number in chosen else "shortcut"]
            gradient = _pull(module, own, self.inputs[number], gradient)
        return gradient

    def norms(
        self,
        length: int,
        samples: int,
        rng: np.random.Generator,
        progress: Callable[[int], object] = lambda count: None,
    ) -> np.ndarray:
        """`[samples]` norms, over the whole batch, of random paths of one length."""
        found = []
        for _ in range(samples):
            chosen = rng.choice(len(self.links), length, replace=False)
            found.append(float(jnp.linalg.norm(self(chosen.tolist()))))
            progress(1)
        return np.array(found)


WAYS = ("shortcut", "branch")


def _loss(head: Callable[..., Array], labels: Array, x: Array, variables: Variables) -> Array:
    logits = head(variables, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@functools.partial(jax.jit, static_argnums=0)
def _forward(module: nn.Module, own: Mapping[str, Any], x: Array) -> Array:
    y: Any = module.apply(own, x, train=False)
    return y


@functools.partial(jax.jit, static_argnums=0)
def _pull(module: nn.Module, own: Mapping[str, Any], x: Array, gradient: Array) -> Array:
    """What `gradient` at the block's output is at its input."""
    return jax.vjp(lambda x: _forward(module, own, x), x)[1](gradient)[0]


class ShortPaths(Classifier):
    """A classifier that trains `modules` blocks at a time, drawn anew for every batch.

    No path is longer than that (section 5: 23 of 54, on average 11.5). The branches of the drawn
    blocks are multiplied by blocks / modules, so that at test time, when all take part, the sum of
    branches is what it was on average (as drop-path does; the paper does not say what it does).
    Variables are the classifier's.
    """

    modules: int = 1

    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> Array:
        if train:
            net: Any = self.backbone
            blocks = sum(net.depths)
            kept = jax.random.permutation(self.make_rng("dropout"), blocks) < self.modules
            backbone["gates"] = kept * (blocks / self.modules)
        return super().__call__(x, train=train, **backbone)
