"""A stage: blocks of one width."""

import functools
from typing import Literal

import jax
from flax import linen as nn

from jresnet.models.block import Block, ModuleDef
from jresnet.models.layers import CONVOLUTION, Shape
from jresnet.models.scan import scan_blocks

Array = jax.Array

# Values that backpropagation computes again instead of keeping them: norms and activations between
# convolutions, or whole blocks, whose inputs alone are kept.
Remat = Literal["none", "activations", "blocks"]
POLICIES = {
    "activations": jax.checkpoint_policies.save_only_these_names(CONVOLUTION),
    "blocks": jax.checkpoint_policies.nothing_saveable,
}


class Stage(nn.Module):
    """Blocks of one width, one for each of `dilations`; the first strides and may change the width.

    `remat` names what backpropagation computes again: `none`, the `activations` and norms between
    convolutions, whole `blocks`.

    With `scan` the blocks after the first, which must be identical, run under one `nn.scan` and
    their variables lie stacked under `blocks` (`jresnet.models.scan`). `last_gate` is the gate of
    the last block in the place of the others' one; such blocks are not identical.
    """

    dilations: tuple[int, ...]
    block: ModuleDef
    strides: Shape = 1
    scan: bool = False
    remat: Remat = "none"
    last_gate: ModuleDef | None = None

    @nn.compact
    def __call__(
        self, x: Array, gates: Array | None, drop_rates: Array | None, *, train: bool
    ) -> Array:
        def run(block: Block, x: Array, gate: Array | None, drop_rate: Array | None) -> Array:
            return block(x, gate, drop_rate, train=train)

        if self.remat != "none":
            run = nn.remat(run, policy=POLICIES[self.remat])

        def scalars(i: int) -> tuple[Array | None, ...]:
            return tuple(None if v is None else v[i] for v in (gates, drop_rates))

        first, *others = self.blocks()
        x = run(first(name="block1"), x, *scalars(0))
        if self.scan and len(others) > 1:
            if self.last_gate is not None:
                raise ValueError("last_gate: scan needs one gate for all blocks")
            if len(set(self.dilations[1:])) > 1:
                raise ValueError(
                    f"dilations {self.dilations}: scan needs one for all but the first"
                )
            rest = [None if v is None else v[1:] for v in (gates, drop_rates)]
            return scan_blocks(run, others[0](name="blocks"), x, rest, len(others))
        for number, block in enumerate(others, 2):
            x = run(block(name=f"block{number}"), x, *scalars(number - 1))
        return x

    def blocks(self) -> list[ModuleDef]:
        """Builders of the blocks, in order."""
        first, *others = self.dilations
        builders = [
            functools.partial(self.block, strides=self.strides, dilation=first),
            *(functools.partial(self.block, dilation=dilation) for dilation in others),
        ]
        if self.last_gate is not None:
            builders[-1] = functools.partial(builders[-1], gate=self.last_gate)
        return list(builders)
