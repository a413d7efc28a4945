"""The residual network: stem, stages of blocks, and the dict of their features, at any rank."""

import math
from collections.abc import Callable, Mapping
from typing import Any

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
from jresnet.models.layers import Activation, BatchNorm, Conv, Dtype, Shape, activate, per_axis
from jresnet.models.part import Part, part
from jresnet.models.scan import scannable_convolve
from jresnet.models.shortcuts import Projection
from jresnet.models.stage import Remat, Stage
from jresnet.models.stem import Stem, StemConv

__all__ = ["Remat", "ResNet", "Stage", "Stem", "StemConv", "one_a_resolution"]

Array = jax.Array


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
    `last_gate` is the gate of each stage's last block, in the place of `gate`.
    `before_pool` adds a feature of that name, the stem's map before its pool, for decoders that
    need the resolution; `one_a_resolution` picks from the features.

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
    last_gate: ModuleDef | None = None
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
    before_pool: bool = False

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
        features = {}
        pool = self.stem(parent=None).pool if self.before_pool else None
        if pool is None:
            x = stem(name="stem")(x, train=training["stem"])
        else:
            features["before_pool"] = stem(name="stem", pool=None)(x, train=training["stem"])
            x = pool(features["before_pool"])
        features["stem"] = x
        done = 0
        for name, depth, stage in zip(list(training)[1:], self.depths, stages, strict=True):
            rows = slice(done, done + depth)
            x = stage(name=name)(
                x,
                None if gates is None else gates[rows],
                rates[rows] if rates is not None and training[name] else None,
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
        """Builders of the stem, of each stage, and of the closing norm of a pre-activation net."""
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
                    last_gate=None
                    if self.last_gate is None
                    else part(self.last_gate, dtype=self.dtype),
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


def one_a_resolution(features: Mapping[str, Array]) -> dict[str, Array]:
    """The last of the features of each resolution, from fine to coarse, for pyramids and decoders."""
    last = {y.shape[1:-1]: name for name, y in features.items()}
    return {name: features[name] for name in last.values()}
