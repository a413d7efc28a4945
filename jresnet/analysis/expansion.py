"""The recursive expansion of a residual net: `h_L = h_0 + F_1(h_0) + F_2(h_1) + ...`.

He et al. 2016 (arXiv:1603.05027, equation 4). It is exact where shortcuts are identities and
nothing follows the addition, as in pre-activation nets. Two more cases are exact here. Linear
shortcuts that change the shape (zero-padding, scaling) are applied to every term before them. The
change by a ReLU after the addition, `C_l = relu(z_l) - z_l`, is a separate term.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jresnet.analysis.chain import Chain
from jresnet.analysis.derivation import Padding
from jresnet.analysis.derived_block import Composed, flattened, residual
from jresnet.models.block import Block

Array = jax.Array


class Expansion(NamedTuple):
    """Terms of one shape that add up to `end`, the output of the last of `blocks`.

    - start: the input of the first block.
    - branches: F of each block.
    - corrections: the change by the ReLU after each block's addition; zero in pre-activation nets.
    """

    blocks: tuple[str, ...]
    start: Array
    branches: list[Array]
    corrections: list[Array]
    end: Array

    def total(self) -> Array:
        """The sum of all terms."""
        return sum([*self.branches, *self.corrections], self.start)

    def error(self) -> Array:
        """The largest difference between the sum and `end`, relative to `end`'s largest entry."""
        return abs(self.total() - self.end).max() / abs(self.end).max()

    def shares(self) -> tuple[Array, Array, Array]:
        """Shares `<term, end> / <end, end>` of start, branches and corrections."""
        square = jnp.vdot(self.end, self.end)

        def share(term: Array) -> Array:
            return jnp.vdot(term, self.end) / square

        return (
            share(self.start),
            jnp.stack([share(term) for term in self.branches]),
            jnp.stack([share(term) for term in self.corrections]),
        )


def expand(net: Chain, variables: Mapping[str, Any], images: Array) -> list[Expansion]:
    """The expansion of a net in evaluation on images `[batch, *spatial, channels]`.

    There is one for each sequence of blocks with linear shortcuts; projections, which are not,
    separate them. F is computed from the block's branch alone, `end` by the net itself.

    Raises:
        ValueError: a block has no shortcut, or a part that `residual` has no derivation for.
    """
    h = net.stem(variables, images)
    expansions: list[Expansion] = []
    names: list[str] = []
    start, branches, corrections = h, [], []
    for block in net.blocks:
        assert isinstance(block.module, Block)
        flat = {kind: flattened(tree) for kind, tree in block.select(variables).items()}
        layers = residual(
            block.module, h.shape[-1], images.ndim - 2, dict(flat.get("batch_stats", {}))
        )
        shortcut = layers.shortcut
        if shortcut is None:
            raise ValueError(f"{block.name} has no shortcut: a plain net does not expand")
        params = dict(flat["params"])
        after = block(variables, h)
        if _linear(shortcut):
            opened, _ = layers.opening.forward(params, h)
            branch, _ = layers.branch.forward(params, opened)
            skip, _ = shortcut.forward(params, h)
            start, branches, corrections = jax.tree.map(
                lambda term, shortcut=shortcut: shortcut.forward({}, term)[0],
                (start, branches, corrections),
            )
            z = skip + branch
            branches.append(branch)
            corrections.append(layers.closing.forward(params, z)[0] - z)
            names.append(block.name)
        else:
            if names:
                expansions.append(Expansion(tuple(names), start, branches, corrections, h))
            names, start, branches, corrections = [], after, [], []
        h = after
    if names:
        expansions.append(Expansion(tuple(names), start, branches, corrections, h))
    return expansions


def _linear(shortcut: Composed) -> bool:
    return all(isinstance(layer, Padding) for _, layer in shortcut.layers)
