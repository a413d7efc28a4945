"""The layers of a net in plain numbers, from which the peers are built."""

from typing import Any, NamedTuple

from jresnet.models.heads import Classifier
from jresnet.models.heads.maps import Segmenter
from jresnet.models.layers import per_axis
from jresnet.models.pools import max_pool
from jresnet.models.resnet import ResNet
from jresnet.models.shortcuts import Projection, ZeroPad


class Layer(NamedTuple):
    """A convolution and the norm after it."""

    features: int
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    groups: int = 1


class BlockNumbers(NamedTuple):
    """A block's branch, and the projection or the padding of its shortcut, if it has one."""

    branch: tuple[Layer, ...]
    strides: tuple[int, ...]
    projection: Layer | None
    pads: bool


class Numbers(NamedTuple):
    """A whole net: stem, max-pool or not, blocks, classes."""

    stem: tuple[Layer, ...]
    pool: bool
    blocks: tuple[BlockNumbers, ...]
    num_classes: int


# Fields of a backbone that must have their defaults.
ALIKE = ("order", "conv", "norm", "act", "gate", "join", "downsample", "dropout", "drop_path",
         "output_stride", "frozen")  # fmt: skip


def numbers(net: Classifier | Segmenter, rank: int) -> Numbers:
    """The numbers of a post-activation net with shortcuts of option A or B, its head left out.

    `rank` is the number of spatial axes. Raises ValueError for any other net: the peers are plain.
    """
    backbone = net.backbone
    if not isinstance(backbone, ResNet):
        raise ValueError(f"expected a ResNet, got {type(backbone).__name__}")
    plain = ResNet(backbone.depths, parent=None)
    for field in ALIKE:
        if getattr(backbone, field) != getattr(plain, field):
            raise ValueError(f"{field}: expected {getattr(plain, field)}")
    shortcut = backbone.shortcut(parent=None)
    if shortcut not in (Projection(parent=None), ZeroPad(parent=None)):
        raise ValueError(f"shortcut: expected option A or B, got {shortcut}")
    stem = backbone.stem(parent=None)
    if stem.pool not in (None, max_pool):
        raise ValueError("stem: expected max_pool or no pool")
    layers = tuple(
        Layer(spec.features, per_axis(spec.kernel, rank), per_axis(spec.strides, rank))
        for spec in stem.convs
    )
    blocks, width_in = [], layers[-1].features
    branches: Any = backbone.branch
    branches = branches if isinstance(branches[0], tuple) else (branches,) * len(backbone.depths)
    for stage, depth in enumerate(backbone.depths):
        width = backbone.widths[stage]
        for number in range(depth):
            strides = per_axis(backbone.strides[stage] if number == 0 else 1, rank)
            convs = tuple(
                Layer(
                    spec.features(width_in, width),
                    per_axis(spec.kernel, rank),
                    spec.strides(strides, rank),
                    backbone.groups if spec.grouped else 1,
                )
                for spec in branches[stage]
            )
            width_out = convs[-1].features
            changes = width_out != width_in or any(s != 1 for s in strides)
            projects = changes and isinstance(shortcut, Projection)
            blocks.append(
                BlockNumbers(
                    convs,
                    strides,
                    Layer(width_out, (1,) * rank, strides) if projects else None,
                    changes and not projects,
                )
            )
            width_in = width_out
    return Numbers(layers, stem.pool is not None, tuple(blocks), net.num_classes)
