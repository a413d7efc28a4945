"""The nets that clips are classified with, and weights that they start from."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jresnet.data.normalisation import IMAGENET, Normalize
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.block import BASIC, Branch, ConvSpec
from jresnet.models.frames import Frames
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import ResNet
from jresnet.models.scan import unstack
from jresnet.models.stem import Stem, StemConv
from jresnet.studies.backbone_start import backbone_in, refusing
from jresnet.weights import files
from jresnet.weights.adapt import inflate_kernel
from jresnet.weights.convert import from_torch
from jresnet.weights.matching import flat, nested
from jresnet.weights.nets import load_net, run_net

NetName = Literal[
    "small", "r3d_18", "r3d_34", "mc3_18", "mc3_34", "r2plus1d_18", "r2plus1d_34",
    "hara_r3d_18", "hara_r3d_34", "hara_r3d_50", "hara_r3d_101", "hara_r3d_152",
    "r3d_rs_50", "r3d_rs_101", "r3d_rs_152", "r3d_rs_200",
]  # fmt: skip
CLIP = (8, 32, 32, 3)
WIDTHS = (16, 32, 64)
BLOCKS = 1
SPATIAL: Branch = (ConvSpec((1, 3, 3), strided=True), ConvSpec((1, 3, 3)))


def small(num_classes: int, blocks: int = BLOCKS, **backbone: Any) -> Classifier:
    """A net of 6 `blocks` + 2 layers for small clips and small machines.

    Its stem and first stage are 1x3x3 and see every second frame by itself. The others are 3x3x3;
    two stages halve images and time. With 3x3x3 in the stem digits were learnt later: 56 % of
    them were right after 750 steps, in the place of 75 %.
    """
    stem = part(Stem, convs=(StemConv(WIDTHS[0], (1, 3, 3), (2, 1, 1)),), pool=None)
    branch = (SPATIAL, BASIC, BASIC)
    return Classifier(_backbone(blocks, stem, **({"branch": branch} | backbone)), num_classes)


def small_2d(num_classes: int, blocks: int = BLOCKS, **backbone: Any) -> Classifier:
    """The same with 3x3 convolutions, which sees frames one by one."""
    stem = part(Stem, convs=(StemConv(WIDTHS[0], 3, 1),), pool=None)
    return Classifier(Frames(_backbone(blocks, stem, **backbone)), num_classes)


def _backbone(blocks: int, stem: Any, **fields: Any) -> ResNet:
    usual: dict[str, Any] = {
        "depths": (blocks,) * len(WIDTHS),
        "branch": BASIC,
        "widths": WIDTHS,
        "strides": (1, 2, 2),
        "stem": stem,
    }
    return ResNet(**(usual | fields))


def build(name: NetName, num_classes: int, blocks: int | None = None) -> Classifier:
    """A net by name; `blocks` are those of a stage of net small. Raises UsageError."""
    if name == "small":
        return small(num_classes, blocks or BLOCKS)
    if blocks is not None:
        raise UsageError(f"blocks={blocks}: expected none, net {name} has no choice")
    return getattr(zoo, name)(num_classes)


class Start(NamedTuple):
    """Weights to start from: those of the backbone, or None, and how their images were normalised;
    None for as the recipe does."""

    variables: dict[str, Any] | None = None
    normalize: Normalize | None = None


def read_start(weights: Path, net: Classifier, name: str) -> Start:
    """The backbone's weights for `net`, out of a file in torch's layout or a run's folder.

    Kernels of a net for images are inflated (arXiv:1705.07750, section 2.4): repeated along time and
    divided by its length. Such a file's images were normalised by ImageNet's statistics, those
    of a net for clips as the recipe does, and a run knows its own. Raises UsageError for those of
    another net.
    """
    with refusing(weights, name):
        if weights.is_dir():
            loaded = load_net(run_net(weights), {}, weights)
            held: Any = unstack(loaded.variables)
            recorded: Any = loaded.recorded.normalize() if loaded.recorded else None
            normalize = recorded if isinstance(recorded, Normalize) else None
        else:
            state = files.load(weights)
            flat_kernels = all(value.ndim != 5 for value in state.values())
            held = from_torch(state, net, new_head=True, inflate=flat_kernels)
            normalize = IMAGENET if flat_kernels else None
    expected = abstract_variables(net, CLIP)
    return Start(backbone_in(inflated(held, expected), expected, weights, name), normalize)


def inflated(variables: Any, expected: Any) -> dict[str, Any]:
    """Variables whose 2-D kernels are 3-D where those of `expected` are."""
    shapes = {path: leaf.shape for path, leaf in flat(expected).items()}
    leaves = {}
    for path, leaf in flat(variables).items():
        value = np.asarray(leaf)
        if path[-1] == "kernel" and len(shapes.get(path, ())) == 5:
            value = inflate_kernel(value, shapes[path][:-2])
        leaves[path] = value
    return nested(leaves)
