"""A residual net can be any plain net, and any deeper net: by construction.

He et al. 2015 (arXiv:1512.03385, sections 1 and 3.1): where a plain block computes H(x), a residual
one with `F(x) = H(x) - x` computes the same, and with `F = 0` the identity. Here F is built out of
the plain block's weights. In a post-activation net what enters a block has been through a ReLU
and is not negative, so the ReLUs of the branch let it pass: beside its own channels the branch
carries the block's input along, by kernels that copy, and subtracts it at its end.
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
    """The width of a convolution that carries the block's input along: its own and the input's."""

    spec: ConvSpec

    def __call__(self, block_input: int, block_width: int) -> int:
        return self.spec.features(block_input, block_width) + block_input


def as_residual(plain: Classifier, variables: Mapping[str, Any]) -> tuple[Classifier, Tree]:
    """The residual net with parameter-free shortcuts that computes what the plain net computes.

    Equal to rounding, in training and evaluation. `plain` is post-activation, without norms,
    shortcuts, gates and groups, of ReLUs; its convolutions may have biases. Raises ValueError for
    another net. Inner convolutions of a branch are wider by the block's input.
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
    """A plain block's convolutions, with the input carried through all but the last."""
    convs = {name: {k: np.asarray(v) for k, v in conv.items()} for name, conv in convs.items()}
    last, width = len(convs), convs["conv1"]["kernel"].shape[-2]
    found = {}
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
        found[f"conv{number}"] = {"kernel": wide}
        if "bias" in conv:
            found[f"conv{number}"]["bias"] = np.pad(conv["bias"], (0, carried_out))
    return found


def deepen(
    model: Classifier, variables: Mapping[str, Any], depths: tuple[int, ...]
) -> tuple[Classifier, Tree]:
    """The net with more blocks a stage that computes the same, to the bit: zero branches.

    The added blocks end in a convolution of zeros; without norms behind it their branches are 0,
    and a shortcut alone is the identity. Their other weights are copies of the stage's last block.
    `model` is residual and without norms. Raises ValueError for fewer blocks than there are.
    """
    backbone = model.backbone
    if not isinstance(backbone.norm(parent=None), NoNorm):
        raise ValueError("a norm's bias would enter the branch: take a net with norm=NoNorm")
    if isinstance(backbone.shortcut(parent=None), NoShortcut):
        raise ValueError("a plain net's block with zero weights is no identity, but 0")
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
    """Folded norms' biases (`norm2/bias`, of `jresnet.weights.fold`) as biases of the convolutions
    before them (`conv2/bias`), for the same net with `norm=NoNorm` and `part(Conv, use_bias=True)`."""
    found = {}
    for name, layer in params.items():
        if name.startswith("norm"):
            continue
        bias = params.get(name.replace("conv", "norm")) if name.startswith("conv") else None
        if bias is not None:
            found[name] = {**layer, "bias": bias["bias"]}
        else:
            found[name] = biases_into_convolutions(layer) if isinstance(layer, Mapping) else layer
    return found


def branch_sizes(net: Chain, variables: Mapping[str, Any], images: Array) -> list[float]:
    """`|F(x)| / |S(x)|` of each block in evaluation: its branch against its shortcut, before the
    closing ReLU, over a batch of images. Raises ValueError for a block without a shortcut."""
    h, sizes = net.stem(variables, images), []
    for block in net.blocks:
        branch, skip, h = _parted(block.module, block.own(variables), h)
        if skip is None:
            raise ValueError(f"{block.name} has no shortcut to compare its branch with")
        sizes.append(float(branch / skip))
    return sizes


@functools.partial(jax.jit, static_argnums=0)
def _parted(block: Block, variables: Tree, h: Array) -> tuple[Array, Array | None, Array]:
    """Norms of branch and shortcut (None: there is none), and the block's output."""
    own = {kind: flattened(tree) for kind, tree in variables.items()}
    layers = residual(block, h.shape[-1], h.ndim - 2, own.get("batch_stats", {}))
    opened, _ = layers.opening.forward(own["params"], h)
    branch, _ = layers.branch.forward(own["params"], opened)
    after: Any = block.apply(variables, h, train=False)
    if layers.shortcut is None:
        return jnp.linalg.norm(branch), None, after
    start = opened if layers.projects else h
    skip, _ = layers.shortcut.forward(own["params"], start)
    return jnp.linalg.norm(branch), jnp.linalg.norm(skip), after
