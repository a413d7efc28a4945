"""A residual block of layers from `jresnet.analysis.derivation`, translated from a `Block`."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict

from jresnet.analysis.derivation import (
    BatchNormalisation,
    Convolution,
    Layer,
    Padding,
    Params,
    ReLU,
)
from jresnet.models.block import Block
from jresnet.models.layers import BatchNorm, Conv, NoNorm, per_axis
from jresnet.models.shortcuts import (
    IdentityOnly,
    NoShortcut,
    Projection,
    ScaledIdentity,
    ZeroPad,
    changes_shape,
)

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Composed:
    """Layers one after the other, each with the name of its parameters in the block.

    By the chain rule, dL/dx of a layer is dL/dy of the layer before it. Parameters are flat,
    `{"conv1/kernel": ...}`.
    """

    layers: tuple[tuple[str, Layer], ...] = ()

    def forward(self, params: Params, x: Array) -> tuple[Array, list[Any]]:
        memories = []
        for name, layer in self.layers:
            x, memory = layer.forward(below(params, name), x)
            memories.append(memory)
        return x, memories

    def backward(self, params: Params, memory: list[Any], dy: Array) -> tuple[Array, Params]:
        grads: Params = {}
        for (name, layer), kept in zip(reversed(self.layers), reversed(memory), strict=True):
            dy, layer_grads = layer.backward(below(params, name), kept, dy)
            grads |= {f"{name}/{key}": value for key, value in layer_grads.items()}
        return dy, grads


def flattened(tree: Any) -> dict[str, Any]:
    """A module's variables as `{"conv1/kernel": ...}`."""
    return flatten_dict(tree, sep="/")


def below(params: Params, name: str) -> Params:
    """The parameters under `name/`, without it."""
    return {
        key.removeprefix(f"{name}/"): v for key, v in params.items() if key.startswith(f"{name}/")
    }


@dataclasses.dataclass(frozen=True)
class Residual:
    """`y = closing(shortcut(.) + branch(opening(x)))`: a residual block.

    A post-activation block has no opening and closes with a ReLU. A pre-activation block opens with
    norm and ReLU and has no closing; its shortcut reads x or, if it `projects`, the opening's
    output. `shortcut` is None for a plain block.

    The gradient by an array that is read twice is the sum of the gradients from both readers.
    """

    opening: Composed
    shortcut: Composed | None
    branch: Composed
    closing: Composed
    projects: bool = False

    def forward(self, params: Params, x: Array) -> tuple[Array, dict[str, Any]]:
        memory: dict[str, Any] = {}
        opened, memory["opening"] = self.opening.forward(params, x)
        z, memory["branch"] = self.branch.forward(params, opened)
        if self.shortcut is not None:
            start = opened if self.projects else x
            skip, memory["shortcut"] = self.shortcut.forward(params, start)
            z = skip + z
        y, memory["closing"] = self.closing.forward(params, z)
        return y, memory

    def backward(self, params: Params, memory: dict[str, Any], dy: Array) -> tuple[Array, Params]:
        dz, grads = self.closing.backward(params, memory["closing"], dy)
        dopened, part_grads = self.branch.backward(params, memory["branch"], dz)
        grads, dx = grads | part_grads, jnp.zeros(())
        if self.shortcut is not None:
            dskip, part_grads = self.shortcut.backward(params, memory["shortcut"], dz)
            grads |= part_grads
            dopened, dx = (dopened + dskip, dx) if self.projects else (dopened, dskip)
        through, part_grads = self.opening.backward(params, memory["opening"], dopened)
        return dx + through, grads | part_grads


@dataclasses.dataclass(frozen=True)
class Writer:
    """Translates modules to layers; flat running `statistics` give norms of evaluation."""

    rank: int
    statistics: Params | None = None

    def convolution(self, conv: Any) -> Layer:
        if not isinstance(conv, Conv) or conv.transform is not None:
            raise ValueError(f"no derivation is written for {conv!r}: take a plain Conv")
        strides, dilation = (per_axis(v, self.rank) for v in (conv.strides, conv.dilation))
        return Convolution(strides, dilation, conv.groups)

    def norm(self, norm: Any, name: str) -> tuple[tuple[str, Layer], ...]:
        if isinstance(norm, NoNorm):
            return ()
        if not isinstance(norm, BatchNorm):
            raise ValueError(f"no derivation is written for {norm!r}: take a BatchNorm or NoNorm")
        if self.statistics is None:
            return ((name, BatchNormalisation(norm.epsilon, norm.group)),)
        running = below(self.statistics, name)
        return ((name, BatchNormalisation(norm.epsilon, None, (running["mean"], running["var"]))),)

    def activation(self, act: Any) -> Layer:
        if act is not jax.nn.relu:
            raise ValueError(f"no derivation is written for {act!r}: take flax.linen.relu")
        return ReLU()


def residual(block: Block, features: int, rank: int, statistics: Params | None = None) -> Residual:
    """The derivation of `block` for inputs of `features` channels and `rank` spatial axes.

    BatchNorm uses the batch's statistics, or the flat running `statistics` (`norm1/mean`).

    Raises:
        ValueError: a part has no derivation here: a gate, dropout, anti-aliasing, another norm
            than BatchNorm, another activation than ReLU.
    """
    if block.gate is not None or block.dropout or block.downsample is not None:
        raise ValueError("no derivation is written for gates, dropout and anti-aliasing")
    writer = Writer(rank, statistics)
    relu = ("relu", writer.activation(block.act))
    strides = [spec.strides(block.strides, rank) for spec in block.branch]

    def norm(number: int) -> tuple[tuple[str, Layer], ...]:
        return writer.norm(block.norm(parent=None), f"norm{number}")

    branch: list[tuple[str, Layer]] = []
    last = len(block.branch)
    for number, (spec, step) in enumerate(zip(block.branch, strides, strict=True), 1):
        if block.preactivation and number > 1:
            branch += [*norm(number), relu]
        pointwise = all(k == 1 for k in per_axis(spec.kernel, rank))
        conv = block.conv(
            1,
            spec.kernel,
            step,
            1 if pointwise else block.dilation,
            block.groups if spec.grouped else 1,
            parent=None,
        )
        branch.append((f"conv{number}", writer.convolution(conv)))
        if not block.preactivation:
            branch += [*norm(number), *([relu] if number < last else [])]

    width = block.branch[-1].features(features, block.width)
    total = tuple(math.prod(axis) for axis in zip(*strides, strict=True))
    shortcut, projects = _shortcut(block, writer, features, width, total)
    opening = Composed((*norm(1), relu)) if block.preactivation else Composed()
    closing = Composed() if block.preactivation else Composed((relu,))
    return Residual(
        opening, shortcut, Composed(tuple(branch)), closing, block.preactivation and projects
    )


def _shortcut(
    block: Block, writer: Writer, features: int, width: int, strides: tuple[int, ...]
) -> tuple[Composed | None, bool]:
    """The shortcut's layers, and whether it is a projection."""
    kind = block.shortcut(conv=block.conv, norm=block.norm, parent=None)
    x: Any = jax.ShapeDtypeStruct((1,) * (len(strides) + 1) + (features,), jnp.float32)
    if isinstance(kind, NoShortcut) or (
        isinstance(kind, IdentityOnly) and changes_shape(x, width, strides)
    ):
        return None, False
    if isinstance(kind, Projection) and kind.projects(x, width, strides):
        if kind.pool:
            raise ValueError("no derivation is written for an average-pooling projection")
        conv = block.conv(1, 1, strides, parent=None)
        norm = () if kind.bare else writer.norm(block.norm(parent=None), "shortcut/norm")
        return Composed((("shortcut/conv", writer.convolution(conv)), *norm)), True
    if not isinstance(kind, Projection | ZeroPad | IdentityOnly | ScaledIdentity):
        raise ValueError(f"no derivation is written for {kind!r}")
    missing = width - features
    scale = kind.scale if isinstance(kind, ScaledIdentity) else 1.0
    padding = Padding(strides, (missing // 2, missing - missing // 2), scale)
    return Composed((("shortcut", padding),)), False
