"""Differences between the three forms of a block."""

import functools
from pathlib import Path
from typing import cast

import jax
import numpy as np

from jresnet.analysis.cardinality import aggregated
from jresnet.analysis.chain import chain
from jresnet.models.block import Block
from jresnet.models.heads import Classifier
from jresnet.tasks.base import Array, Variables
from jresnet.weights.run import read_variables


def forms_apart(net: Classifier, run: Path, image: tuple[int, ...]) -> float:
    """The largest difference between forms (a) or (b) and (c) in any block of a trained net.

    It is relative to the largest value of the block's output, with normal noise as the net's input.
    """
    variables = read_variables(run / "checkpoints")
    parts = chain(net, len(image) - 1)
    noise = jax.random.normal(jax.random.key(0), (8, *image))
    x, apart = parts.stem(variables, noise), 0.0
    for piece in parts.blocks:
        a, b, c = map(np.asarray, forms(cast(Block, piece.module), piece.select(variables), x))
        worst = max(np.abs(a - c).max(), np.abs(b - c).max())
        apart, x = max(apart, float(worst / np.abs(c).max())), c
    return apart


@functools.partial(jax.jit, static_argnums=0)
def forms(block: Block, variables: Variables, x: Array) -> list[Array]:
    """The outputs of a block in forms (a), (b) and (c); (c) is the block itself."""
    return [aggregated(block, variables, x, form) for form in "abc"]
