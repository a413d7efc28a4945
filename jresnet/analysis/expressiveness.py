"""A residual net can be any plain net, and any deeper net: by construction.

He et al. 2015 (arXiv:1512.03385, sections 1 and 3.1): where a plain block computes H(x), a residual
one with `F(x) = H(x) - x` computes the same, and with `F = 0` the identity. Here F is built out of
the plain block's weights. In a post-activation net the input of a block comes out of a ReLU. It is
not negative, so the ReLUs of the branch do not change it. The branch therefore has extra channels
that copy the block's input, and subtracts it in its last convolution.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.chain import Chain
from jresnet.analysis.derived_block import flattened, residual
from jresnet.models.block import Block, Branch, ConvSpec
from jresnet.models.heads import Classifier
from jresnet.models.layers import NoNorm
from jresnet.models.part import part
from jresnet.models.resnet import ResNet
from jresnet.models.scan import unstack
from jresnet.models.shortcuts import NoShortcut, ZeroPad

Array = jax.Array
Tree = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Carrying:
    """The width of a convolution that also copies the block's input."""

    spec: ConvSpec

    def __call__(self, block_input: int, block_width: int) -> int:
        return self.spec.features(block_input, block_width) + block_input


def as_residual(plain: Classifier, variables: Mapping[str, Any]) -> tuple[Classifier, Tree]:
    """The residual net with parameter-free shortcuts that computes the same as the plain net.

    Outputs are equal up to rounding, in training and evaluation. All but the last convolution of a
    branch are wider by the channels of the block's input.

    Args:
        plain: a post-activation net with ReLUs, without norms, shortcuts, gates and groups; its
            convolutions may have biases.
        variables: its variables.

    Raises:
        ValueError: the net is not such a net.
    """
    backbone = plain.backbone
    _require(backbone)
    stages = backbone.plan(2)
    branches = tuple(branch for branch, _, _ in stages)
    carrying: tuple[Branch, ...] = tuple(
        (*(dataclasses.replace(spec, width=Carrying(spec)) for spec in branch[:-1]), branch[-1])
        for branch in branches
    )
    model = plain.clone(
        backbone=backbone.clone(branch=carrying, shortcut=part(ZeroPad), scan=False)
    )
    params = unstack(variables)["params"]
    return model, {"params": {**params, "backbone": _carried(params["backbone"])}}


def _require(backbone: Any) -> None:
    if not isinstance(backbone, ResNet):
        raise ValueError(f"a {type(backbone).__name__} has no blocks: take a ResNet")
    wanted = {
        "shortcut": backbone.shortcut(parent=None),
        "norm": backbone.norm(parent=None),
    }
    if not (isinstance(wanted["shortcut"], NoShortcut) and isinstance(wanted["norm"], NoNorm)):
        raise ValueError("the net has shortcuts or norms: take zoo.plain(net) with norm=NoNorm")
    if (
        backbone.preactivation
        or backbone.gate is not None
        or backbone.groups > 1
        or backbone.downsample is not None
        or backbone.drop_path
        or backbone.dropout
    ):
        raise ValueError("take a post-activation net without groups, gates, blur and dropout")


def _carried(backbone: Mapping[str, Any]) -> Tree:
    return {
        stage: {block: _branch(convs) for block, convs in blocks.items()}
        if stage.startswith("stage")
        else blocks
        for stage, blocks in backbone.items()
    }


def _branch(convs: Mapping[str, Any]) -> Tree:
    """A plain block's convolutions; all but the last also copy the block's input."""
    convs = {name: {k: np.asarray(v) for k, v in conv.items()} for name, conv in convs.items()}
    last, width = len(convs), convs["conv1"]["kernel"].shape[-2]
    carrying = {}
    for number in range(1, last + 1):
        conv = convs[f"conv{number}"]
        kernel = conv["kernel"]
        *size, inputs, outputs = kernel.shape
        carried_in, carried_out = (0 if number == 1 else width), (0 if number == last else width)
        wide = np.zeros((*size, inputs + carried_in, outputs + carried_out), kernel.dtype)
        wide[..., :inputs, :outputs] = kernel
        # The middle of the kernel reads the position that stays when strides subsample.
        middle = tuple((k - 1) // 2 for k in size)
        source = np.arange(width) + (0 if number == 1 else inputs)
        if number < last:
            wide[(*middle, source, outputs + np.arange(width))] = 1
        else:
            low = (outputs - width) // 2  # as ZeroPad places them
            wide[(*middle, source, low + np.arange(width))] -= 1
        carrying[f"conv{number}"] = {"kernel": wide}
        if "bias" in conv:
            carrying[f"conv{number}"]["bias"] = np.pad(conv["bias"], (0, carried_out))
    return carrying


def deepen(
    model: Classifier, variables: Mapping[str, Any], depths: tuple[int, ...]
) -> tuple[Classifier, Tree]:
    """A net with more blocks in each stage that computes the same, bit by bit.

    The last convolution of each added block is zero, so its branch is 0 and the block is its
    identity shortcut. Its other weights are copies of the stage's last block.

    Args:
        model: a residual net without norms.
        variables: its variables.
        depths: blocks of each stage of the new net.

    Raises:
        ValueError: the net has norms or no shortcuts, or `depths` are less than its own.
    """
    backbone = model.backbone
    if not isinstance(backbone.norm(parent=None), NoNorm):
        raise ValueError("a norm's bias would enter the branch: take a net with norm=NoNorm")
    if isinstance(backbone.shortcut(parent=None), NoShortcut):
        raise ValueError("a plain net's block with zero weights gives 0, not its input")
    if len(depths) != len(backbone.depths) or any(
        new < old or old < 2 for new, old in zip(depths, backbone.depths, strict=True)
    ):
        raise ValueError(
            f"depths {depths}: expected at least {backbone.depths}, of 2 blocks or more"
        )
    params = unstack(variables)["params"]
    stages = dict(params["backbone"])
    for number, (new, old) in enumerate(zip(depths, backbone.depths, strict=True), 1):
        blocks = dict(stages[f"stage{number}"])
        end = blocks[f"block{old}"]
        last = max(end, key=lambda name: int(name[4:]) if name.startswith("conv") else 0)
        zero = {name: np.zeros_like(value) for name, value in end[last].items()}
        blocks |= {f"block{i}": {**end, last: zero} for i in range(old + 1, new + 1)}
        stages[f"stage{number}"] = blocks
    deeper = model.clone(backbone=backbone.clone(depths=depths, scan=False))
    return deeper, {"params": {**params, "backbone": stages}}


def biases_into_convolutions(params: Mapping[str, Any]) -> Tree:
    """Move biases of folded norms, `norm2/bias`, to the convolutions before, `conv2/bias`.

    `params` come from `jresnet.weights.fold`. The result is for the same net with `norm=NoNorm` and
    `conv=part(Conv, use_bias=True)`.
    """
    moved = {}
    for name, layer in params.items():
        if name.startswith("norm"):
            continue
        bias = params.get(name.replace("conv", "norm")) if name.startswith("conv") else None
        if bias is not None:
            moved[name] = {**layer, "bias": bias["bias"]}
        else:
            moved[name] = biases_into_convolutions(layer) if isinstance(layer, Mapping) else layer
    return moved


def branch_sizes(net: Chain, variables: Mapping[str, Any], images: Array) -> list[float]:
    """`|F(x)| / |S(x)|` of each block in evaluation: its branch relative to its shortcut.

    Norms are over a batch of images, before the closing ReLU. Raises ValueError for a block without
    a shortcut.
    """
    h, sizes = net.stem(variables, images), []
    for block in net.blocks:
        branch, skip, h = _parted(block.module, block.select(variables), h)
        if skip is None:
            raise ValueError(f"{block.name} has no shortcut to compare its branch with")
        sizes.append(float(branch / skip))
    return sizes


@functools.partial(jax.jit, static_argnums=0)
def _parted(block: Block, variables: Tree, h: Array) -> tuple[Array, Array | None, Array]:
    """Norms of branch and shortcut (None without one), and the block's output."""
    flat = {kind: flattened(tree) for kind, tree in variables.items()}
    layers = residual(block, h.shape[-1], h.ndim - 2, flat.get("batch_stats", {}))
    opened, _ = layers.opening.forward(flat["params"], h)
    branch, _ = layers.branch.forward(flat["params"], opened)
    after: Any = block.apply(variables, h, train=False)
    if layers.shortcut is None:
        return jnp.linalg.norm(branch), None, after
    start = opened if layers.projects else h
    skip, _ = layers.shortcut.forward(flat["params"], start)
    return jnp.linalg.norm(branch), jnp.linalg.norm(skip), after
