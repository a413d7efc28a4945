"""Heads of two-stage detectors: objectness, boxes, masks and keypoints."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.heads.fpn import BIASED
from jresnet.models.heads.maps import HEAD_INIT, to_classes
from jresnet.models.layers import Dtype
from jresnet.models.upsample import ConvTranspose, resize

Array = jax.Array


class RPNHead(nn.Module):
    """The head of the first stage (arXiv:1506.01497, section 3.1), the same on every map.

    Maps `[batch, rows, columns, channels]` to lists of a level's logits `[batch, anchors]` and
    deltas `[batch, anchors, 4]`, float32; `cells` anchors at each position. torchvision's second
    version has two convolutions.
    """

    cells: int
    convolutions: int = 1
    layer: ModuleDef = BIASED

    @nn.compact
    def __call__(self, maps: Sequence[Array], *, train: bool) -> tuple[list[Array], list[Array]]:
        numbers = range(1, self.convolutions + 1)
        layers = [self.layer(maps[0].shape[-1], name=f"conv{number}") for number in numbers]
        objectness = to_classes(self.cells, name="objectness")
        deltas = to_classes(4 * self.cells, name="deltas")
        logits, moves = [], []
        for x in maps:
            for layer in layers:
                x = layer(x, train=train)
            logits.append(objectness(x).astype(jnp.float32).reshape(len(x), -1))
            moves.append(deltas(x).astype(jnp.float32).reshape(len(x), -1, 4))
        return logits, moves


class BoxHead(nn.Module):
    """Regions `[count, rows, columns, channels]` to logits `[count, classes]` and deltas
    `[count, classes, 4]`, float32; class 0 is the background.

    `convolutions` of 3x3, then `dense` layers. Two dense layers are those of arXiv:1612.03144,
    section 4.2; torchvision's second version has four convolutions with a norm before one. Layers
    are numbered throughout: `conv1` to `conv4`, `dense5`.
    """

    num_classes: int
    convolutions: int = 0
    dense: int = 2
    features: int = 256
    units: int = 1024
    layer: ModuleDef = BIASED
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        for number in range(1, self.convolutions + 1):
            x = self.layer(self.features, name=f"conv{number}")(x, train=train)
        x = x.reshape(len(x), -1)
        for number in range(self.convolutions + 1, self.convolutions + self.dense + 1):
            x = nn.relu(nn.Dense(self.units, dtype=self.dtype, name=f"dense{number}")(x))
        x = x.astype(jnp.float32)
        logits = nn.Dense(self.num_classes, kernel_init=HEAD_INIT, name="classes")(x)
        init = nn.initializers.normal(0.001)
        deltas = nn.Dense(4 * self.num_classes, kernel_init=init, name="deltas")(x)
        return logits, deltas.reshape(len(x), -1, 4)


class MaskHead(nn.Module):
    """Regions `[count, n, n, channels]` to logits `[count, 2n, 2n, classes]`, float32.

    Four 3x3 convolutions, a transposed one, and a 1x1 (arXiv:1703.06870, section 3).
    """

    num_classes: int
    convolutions: int = 4
    features: int = 256
    layer: ModuleDef = BIASED
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        for number in range(1, self.convolutions + 1):
            x = self.layer(self.features, name=f"conv{number}")(x, train=train)
        x = nn.relu(ConvTranspose(self.features, dtype=self.dtype, name="enlarge")(x))
        return to_classes(self.num_classes)(x).astype(jnp.float32)


class KeypointHead(nn.Module):
    """Regions `[count, n, n, channels]` to logits `[count, 4n, 4n, keypoints]`, float32.

    Eight 3x3 convolutions, a transposed one, and interpolation by 2 (arXiv:1703.06870, section 5).
    """

    keypoints: int
    convolutions: int = 8
    features: int = 512
    layer: ModuleDef = BIASED
    dtype: Dtype | None = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        for number in range(1, self.convolutions + 1):
            x = self.layer(self.features, name=f"conv{number}")(x, train=train)
        # Each pixel is made by 2x2 cells; padding is said for the enlarged map.
        x = nn.ConvTranspose(
            self.keypoints, (4, 4), (2, 2), ((2, 2), (2, 2)), dtype=self.dtype, name="enlarge"
        )(x).astype(jnp.float32)
        return resize(x, [2 * n for n in x.shape[1:3]])
