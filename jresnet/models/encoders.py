"""Encoders of agents that see: IMPALA's residual one, and that of the DQN paper."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import BASIC, RELU_PREACTIVATION, Block, Branch, ModuleDef, Order
from jresnet.models.layers import Activation, Conv, Dtype
from jresnet.models.norms import NoNorm
from jresnet.models.part import part
from jresnet.models.scan import scannable_convolve
from jresnet.models.shortcuts import Projection
from jresnet.models.stage import Remat, Stage

Array = jax.Array
Pool = Callable[[Array], Array]


def same_max_pool(x: Array) -> Array:
    """3x3/2 max-pooling with padding SAME, as IMPALA has it: 84 to 42, 10 to 5."""
    return nn.max_pool(x, (3, 3), (2, 2), "SAME")


class Impala(nn.Module):
    """The deep encoder of IMPALA (Espeholt et al. 2018, arXiv:1802.01561, figure 3).

    `[batch, H, W, channels]` to `{"stage1", ..., "stageN"}`. Each stage is a 3x3 convolution, a
    pool that halves, and pre-activation blocks of ReLU and 3x3 convolution, twice. A ReLU closes
    the last. Inputs are as the agent sees them, scaled by the caller.

    - depths, widths: blocks and channels of each stage.
    - pool: after each stage's convolution; None keeps the size.
    - shortcut, order, norm, branch: of the blocks, as in `ResNet`.
    - scan, remat: as in `ResNet`: all blocks of a stage but the first under one `nn.scan`.
    """

    depths: tuple[int, ...] = (2, 2, 2)
    widths: tuple[int, ...] = (16, 32, 32)
    pool: Pool | None = same_max_pool
    branch: Branch = BASIC
    order: Order = RELU_PREACTIVATION
    conv: ModuleDef = part(Conv, use_bias=True)
    norm: ModuleDef = NoNorm
    act: Activation = nn.relu
    shortcut: ModuleDef = Projection
    gate: ModuleDef | None = None
    dtype: Dtype | None = None
    scan: bool = False
    remat: Remat = "none"

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        """Raises ValueError unless depths and widths have one entry a stage, of 1 block or more."""
        if len(self.depths) != len(self.widths) or min(self.depths, default=0) < 1:
            raise ValueError(f"depths {self.depths}, widths {self.widths}: expected one a stage")
        x = x if self.dtype is None else x.astype(self.dtype)
        method = {"method": scannable_convolve} if self.scan else {}
        conv = part(self.conv, dtype=self.dtype, **method)
        features = {}
        for number, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True), 1):
            x = conv(width, 3, name=f"conv{number}")(x)
            x = x if self.pool is None else self.pool(x)
            block = part(
                Block,
                branch=self.branch,
                width=width,
                order=self.order,
                conv=conv,
                norm=part(self.norm, dtype=self.dtype),
                act=self.act,
                shortcut=self.shortcut,
                gate=self.gate,
            )
            stage = Stage(
                (1,) * depth, block, scan=self.scan, remat=self.remat, name=f"stage{number}"
            )
            x = stage(x, None, None, train=train)
            features[f"stage{number}"] = x
        features[f"stage{len(self.depths)}"] = self.act(x)
        return features


SMALLEST = 36  # pixels, of which three convolutions without a border leave one


class Nature(nn.Module):
    """The encoder of DQN (Mnih et al. 2015, doi:10.1038/nature14236): three convolutions, no blocks.

    `[batch, H, W, channels]` to `{"conv1", "conv2", "conv3"}`, each after its ReLU, unpadded: 84 to
    20, 9, 7. It has no shortcut that could be taken away, and so no plain twin. Raises ValueError
    for pictures of less than 36 pixels along a side, of which nothing would be left.

    With `norm` LayerNorm over the channels stands before each ReLU, as PQN has it (Gallici et al. 2024,
    arXiv:2407.04811, its code).
    """

    norm: bool = False
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> dict[str, Array]:
        del train
        if min(x.shape[1:3]) < SMALLEST:
            raise ValueError(
                f"images of {x.shape[1]} x {x.shape[2]}: expected at least {SMALLEST} pixels along "
                "a side, for the DQN paper's net"
            )
        features = {}
        layers = ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        for number, (width, kernel, stride) in enumerate(layers, 1):
            conv = nn.Conv(
                width,
                (kernel, kernel),
                (stride, stride),
                "VALID",
                dtype=self.dtype,
                kernel_init=nn.initializers.orthogonal(jnp.sqrt(2.0)),
                name=f"conv{number}",
            )
            x = conv(x)
            if self.norm:
                x = nn.LayerNorm(dtype=self.dtype, name=f"norm{number}")(x)
            x = nn.relu(x)
            features[f"conv{number}"] = x
        return features
