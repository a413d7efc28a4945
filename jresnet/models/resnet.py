"""The residual network: stem, stages of blocks, and the dict of their features, at any rank."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import (
    BOTTLENECK,
    POSTACTIVATION,
    PREACTIVATION,
    Block,
    Branch,
    ConvSpec,
    ModuleDef,
    Order,
)
from jresnet.models.layers import (
    CONVOLUTION,
    Activation,
    BatchNorm,
    Conv,
    Dtype,
    Shape,
    activate,
    per_axis,
)
from jresnet.models.part import Part, part
from jresnet.models.pools import max_pool
from jresnet.models.scan import scan_blocks, scannable_convolve
from jresnet.models.shortcuts import Projection

Array = jax.Array


# What backpropagation computes again instead of keeping it: norms and activations between convolutions,
# or whole blocks, of which only the inputs are kept.
Remat = Literal["none", "activations", "blocks"]
POLICIES = {
    "activations": jax.checkpoint_policies.save_only_these_names(CONVOLUTION),
    "blocks": jax.checkpoint_policies.nothing_saveable,
}


class Stage(nn.Module):
    """Blocks of one width, one for each of `dilations`; the first strides and may change the width.

    `remat` says what backpropagation computes again: `none`, the `activations` and norms between
    convolutions, whole `blocks`.

    With `scan` the blocks after the first, which must be identical, run under one `nn.scan` and
    their variables lie stacked under `blocks` (`jresnet.models.scan`).
    """

    dilations: tuple[int, ...]
    block: ModuleDef
    strides: Shape = 1
    scan: bool = False
    remat: Remat = "none"

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
        """What builds each block."""
        first, *others = self.dilations
        return [
            functools.partial(self.block, strides=self.strides, dilation=first),
            *(functools.partial(self.block, dilation=dilation) for dilation in others),
        ]


@dataclasses.dataclass(frozen=True)
class StemConv:
    """One convolution of the stem."""

    features: int = 64
    kernel: Shape = 7
    strides: Shape = 2


class Stem(nn.Module):
    """What stands before the first stage: convolutions, each with norm and activation, and a pool
    that halves the image, or None.

    One convolution is `conv` with `norm`, several are `conv1, norm1, conv2, ...`. `bare` leaves
    the last norm and activation to the first pre-activation block.
    """

    convs: tuple[StemConv, ...] = (StemConv(),)
    pool: Callable[[Array], Array] | None = max_pool
    bare: bool = False
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    act: Activation | ModuleDef = nn.relu

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        for number, spec in enumerate(self.convs, 1):
            suffix = str(number) if len(self.convs) > 1 else ""
            x = self.conv(spec.features, spec.kernel, spec.strides, name=f"conv{suffix}")(x)
            if not (self.bare and number == len(self.convs)):
                x = self.norm(name=f"norm{suffix}")(x, train=train)
                x = activate(self.act, x, f"act{suffix}")
        return x if self.pool is None else self.pool(x)


class ResNet(nn.Module):
    """The backbone: `[batch, *spatial, channels]` to `{"stem", "stage1", ..., "stageN"}`.

    Each value is `[batch, *spatial / reduction, features]`. Where norm and activation stand before
    the convolutions (`order`) the last stage closes with them.

    `branch` is one for all stages or a tuple of one a stage. `output_stride` (8 or 16) exchanges
    the strides beyond it for dilation; the first block of such a stage keeps the dilation before
    it, as in torchvision. `dilations`, one entry a stage, multiply what that gives: a number for
    all blocks of the stage, or a tuple of one a block (multi-grid, arXiv:1706.05587, section 3.1).
    `drop_path` is the rate of the last block, growing linearly from zero
    (arXiv:1603.09382). `dtype` is the compute dtype: parameters and statistics are float32.
    `frozen` names parts (`stem`, `stage2`) that run as in evaluation when the rest trains, so that
    their BatchNorm statistics stay; their parameters are the optimizer's business.

    Raises ValueError for an `output_stride` that the strides do not reach, gates of the wrong
    shape, or a frozen part that is not there.
    """

    depths: tuple[int, ...]
    branch: Branch | tuple[Branch, ...] = BOTTLENECK
    widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[Shape, ...] = (1, 2, 2, 2)
    groups: int = 1
    stem: ModuleDef = Stem
    order: Order = POSTACTIVATION
    conv: ModuleDef = Conv
    norm: ModuleDef = BatchNorm
    act: Activation | ModuleDef = nn.relu
    shortcut: ModuleDef = Projection
    gate: ModuleDef | None = None
    join: ModuleDef | None = None
    downsample: Callable[[Array, Shape], Array] | None = None
    dropout: float = 0.0
    drop_path: float = 0.0
    zero_init_residual: bool = False
    output_stride: int | None = None
    dilations: tuple[int | tuple[int, ...], ...] | None = None
    dtype: Dtype | None = None
    scan: bool = False
    remat: Remat = "none"
    frozen: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, x: Array, *, train: bool, gates: Array | None = None) -> dict[str, Array]:
        """`gates`: `[sum(depths)]`, what each block's branch is multiplied by; None for ones."""
        total = sum(self.depths)
        if gates is not None and gates.shape != (total,):
            raise ValueError(f"gates have shape {gates.shape}, this net has {total} blocks")
        rates = jnp.linspace(0.0, self.drop_path, total) if self.drop_path and train else None
        training = self.training(train)
        stem, stages, closing = self.layers(x.ndim - 2)
        x = x if self.dtype is None else x.astype(self.dtype)
        x = stem(name="stem")(x, train=training["stem"])
        features = {"stem": x}
        done = 0
        for name, depth, stage in zip(list(training)[1:], self.depths, stages, strict=True):
            own = slice(done, done + depth)
            x = stage(name=name)(
                x,
                None if gates is None else gates[own],
                rates[own] if rates is not None and training[name] else None,
                train=training[name],
            )
            done += depth
            features[name] = x
        last = list(features)[-1]
        for step in self.order.first:
            if step == "act":
                x = activate(self.act, x, "act")
            else:
                x = closing(name="norm")(x, train=training[last])
        features[last] = x
        return features

    @property
    def preactivation(self) -> bool:
        """Whether norm and activation stand before the convolutions, as in arXiv:1603.05027."""
        return self.order == PREACTIVATION

    def layers(self, rank: int) -> tuple[Part, list[Part], Part]:
        """What builds the stem, each stage, and the closing norm of a pre-activation net."""
        method = {"method": scannable_convolve} if self.scan else {}
        conv = part(self.conv, dtype=self.dtype, **method)
        norm = part(self.norm, dtype=self.dtype)
        stem = part(self.stem, conv=conv, norm=norm, act=self.act, bare=self.preactivation)
        stages = []
        for width, (branch, strides, dilations) in zip(self.widths, self.plan(rank), strict=True):
            block = part(
                Block,
                branch=branch,
                width=width,
                groups=self.groups,
                order=self.order,
                conv=conv,
                norm=norm,
                act=self.act,
                shortcut=self.shortcut,
                gate=None if self.gate is None else part(self.gate, dtype=self.dtype),
                join=None if self.join is None else part(self.join, dtype=self.dtype),
                downsample=self.downsample,
                dropout=self.dropout,
                zero_init_residual=self.zero_init_residual,
            )
            stages.append(
                part(
                    Stage,
                    dilations=dilations,
                    block=block,
                    strides=strides,
                    scan=self.scan,
                    remat=self.remat,
                )
            )
        return stem, stages, norm

    def training(self, train: bool) -> dict[str, bool]:
        """For each part whether it trains. Raises ValueError for a frozen part that is not there."""
        parts = ["stem", *(f"stage{number}" for number in range(1, len(self.depths) + 1))]
        if strange := [name for name in self.frozen if name not in parts]:
            raise ValueError(f"frozen {', '.join(strange)}: take some of {', '.join(parts)}")
        return {name: train and name not in self.frozen for name in parts}

    def plan(self, rank: int) -> list[tuple[Branch, Shape, tuple[int, ...]]]:
        """Branch and strides of each stage, and the dilation of each of its blocks."""
        one = isinstance(self.branch[0], ConvSpec)
        branches: Any = (self.branch,) * len(self.depths) if one else self.branch
        grids = (1,) * len(self.depths) if self.dilations is None else self.dilations
        entries = (self.depths, self.widths, self.strides, branches, grids)
        if len({len(entry) for entry in entries}) > 1:
            raise ValueError(
                f"depths {self.depths}, widths {self.widths}, strides {self.strides}, dilations "
                f"{grids} and the {len(branches)} branches need one entry a stage each"
            )
        reduction = self.stem_reduction(rank)
        dilation, stages = 1, []
        for depth, _, strides, branch, grid in zip(*entries, strict=True):
            before, step = dilation, max(per_axis(strides, rank))
            if self.output_stride is not None and reduction * step > self.output_stride:
                dilation, strides = dilation * step, 1
            else:
                reduction *= step
            grid = (grid,) * depth if isinstance(grid, int) else grid
            if len(grid) != depth or min(grid) < 1:
                raise ValueError(f"dilations {grid}: the stage has {depth} blocks, each needs one")
            factors = (before, *[dilation] * (depth - 1))
            stages.append(
                (branch, strides, tuple(f * g for f, g in zip(factors, grid, strict=True)))
            )
        if self.output_stride not in (None, reduction):
            raise ValueError(f"output_stride {self.output_stride} is not reached, only {reduction}")
        return stages

    def stem_reduction(self, rank: int) -> int:
        stem = self.stem(parent=None)
        strides = [max(per_axis(conv.strides, rank)) for conv in stem.convs]
        return math.prod(strides) * (1 if stem.pool is None else 2)
