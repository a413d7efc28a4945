"""A classifier as a chain of functions: stem, one residual block after another, head.

Gradients at block inputs, Jacobians of blocks, deleted and swapped blocks are all computed from
the pieces of this chain. The analyses also take other nets that are written as such functions.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import linen as nn
from jax import lax

from jresnet.models.block import Block, ModuleDef
from jresnet.models.heads import Classifier
from jresnet.models.part import is_module, part
from jresnet.models.pools import global_average_pool
from jresnet.models.resnet import ResNet

Array = jax.Array
Variables = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Piece:
    """The stem or a block, as a function of the whole net's variables.

    With `train` BatchNorm uses the statistics of the batch and does not update the running ones.
    """

    name: str
    path: tuple[str, ...]
    module: nn.Module

    def select(self, variables: Variables) -> dict[str, Any]:
        """This piece's part of the net's variables."""
        kept = {}
        for kind, tree in variables.items():
            for key in self.path:
                tree = tree.get(key, {})
            kept[kind] = tree
        return kept

    def __call__(self, variables: Variables, x: Array, *args: Any, train: bool = False) -> Array:
        """The output for `x`; `args` may hold a block's gate, a factor of the branch."""
        kinds = [kind for kind in variables if kind != "params"] if train else []
        y: Any = self.module.apply(self.select(variables), x, *args, train=train, mutable=kinds)
        return y[0]

    def through(self, way: str) -> "Piece":
        """The same block, with a gradient through its `"shortcut"` or its `"branch"` alone.

        The two gradients add up to the block's. In a pre-activation block with a projection, both
        include the norm and activation that the projection and the branch share. Raises ValueError
        for another way, and for a piece that is not a block.
        """
        if not isinstance(self.module, Block):
            raise ValueError(f"{self.name} has no shortcut and no branch")
        block = self.module
        if way == "shortcut":
            changed = block.clone(gate=part(_stopped, inner=block.gate or _nothing))
        elif way == "branch":
            changed = block.clone(shortcut=part(_stopped, inner=block.shortcut))
        else:
            raise ValueError(f"through {way!r}: take 'shortcut' or 'branch'")
        return dataclasses.replace(self, module=changed)


class _Stopped:
    """A layer whose output passes no gradient."""

    def __init__(self, layer: Any) -> None:
        self.projects = getattr(layer, "projects", None)  # for shortcuts
        self.layer = layer

    def __call__(self, *args: Any, **options: Any) -> Any:
        return lax.stop_gradient(self.layer(*args, **options))


def _stopped(inner: ModuleDef, **fields: Any) -> _Stopped:
    return _Stopped(inner(**fields))


def _nothing(name: str) -> Callable[[Array], Array]:
    del name
    return lambda x: x


@dataclasses.dataclass(frozen=True)
class Head:
    """The layers after the last block: norm and activation if any, pooling, the linear layer."""

    name: str
    order: tuple[str, ...]
    norm: Piece | None
    act: Callable[[Array], Array]

    def __call__(self, variables: Variables, x: Array, *, train: bool = False) -> Array:
        for step in self.order:
            x = (
                self.norm(variables, x, train=train)
                if self.norm and step == "norm"
                else self.act(x)
            )
        dense = variables["params"]["head"]
        return global_average_pool(x) @ dense["kernel"] + dense["bias"][None]


@dataclasses.dataclass(frozen=True)
class Chain:
    """`head(blocks(stem(images)))`."""

    stem: Piece
    blocks: tuple[Piece, ...]
    head: Head

    def __call__(
        self,
        variables: Variables,
        images: Array,
        *,
        train: bool = False,
        gates: Array | None = None,
    ) -> Array:
        """Logits; `gates` `[blocks]` multiply the branches."""
        x = self.stem(variables, images, train=train)
        for number, block in enumerate(self.blocks):
            x = block(variables, x, *(() if gates is None else (gates[number],)), train=train)
        return self.head(variables, x, train=train)


def chain(model: Classifier, rank: int = 2) -> Chain:
    """The pieces of a net for images of `rank` axes.

    They take canonical variables (`jresnet.models.scan.unstack`). Called in order they give the
    logits of `model.apply`, without dropout and drop-path. Raises ValueError for a classifier on
    something other than a ResNet.
    """
    backbone = model.backbone
    if not isinstance(backbone, ResNet):
        raise ValueError(f"a {type(backbone).__name__} has no residual blocks: take a ResNet")
    stem, stages, closing = backbone.clone(scan=False, remat="none", dropout=0.0).layers(rank)
    blocks = [
        Piece(f"stage{number}/block{i}", ("backbone", f"stage{number}", f"block{i}"), block())
        for number, stage in enumerate(stages, 1)
        for i, block in enumerate(stage().blocks(), 1)
    ]
    if is_module(backbone.act):
        raise ValueError(f"no chain is written for activations with parameters: {backbone.act!r}")
    before = backbone.order.first
    norm = Piece("norm", ("backbone", "norm"), closing()) if "norm" in before else None
    first = Piece("stem", ("backbone", "stem"), stem())
    return Chain(first, tuple(blocks), Head("head", before, norm, backbone.act))
