"""How far each block of a net is from its shortcut alone."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.analysis.chain import Chain, Piece

Array = jax.Array


def branch_changes(
    net: Chain, variables: Mapping[str, Any], images: Array, *, train: bool = True
) -> tuple[Array, Array]:
    """The relative change by each branch, and the size of the signal, block by block.

    Args:
        net: the net.
        variables: its variables.
        images: `[batch, *spatial, channels]`.
        train: whether BatchNorm uses the statistics of the batch.

    Returns:
        `|block(h) - block(h) without its branch| / |block(h) without its branch|` `[L]`, which is 0
        for a block with F = 0; and the root mean square of every block's output `[L]`.
    """
    h = net.stem(variables, images, train=train)
    changes, sizes = [], []
    for block in net.blocks:
        bare = Piece("", (), block.module)
        y, change = _change(bare, block.select(variables), h, train)
        changes.append(change)
        sizes.append(jnp.sqrt(jnp.mean(jnp.square(y))))
        h = y
    return jnp.stack(changes), jnp.stack(sizes)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _change(piece: Piece, variables: Any, h: Array, train: bool) -> tuple[Array, Array]:
    y = piece(variables, h, train=train)
    alone = piece(variables, h, jnp.zeros(()), train=train)
    return y, jnp.linalg.norm(y - alone) / jnp.linalg.norm(alone)
