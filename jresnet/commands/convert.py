"""`convert`: a checkpoint file to safetensors or npz."""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from tyro.conf import Positional

from jresnet.commands.arguments import parse
from jresnet.commands.outfile import check_new
from jresnet.errors import UsageError
from jresnet.text import shown
from jresnet.weights import files, layouts
from jresnet.weights.convert import to_torch
from jresnet.weights.nets import Loaded, find_net, load_net

LAYOUTS = {
    "torchvision": layouts.TORCHVISION,
    "timm": layouts.TIMM,
    "timm_v2": layouts.TIMM_V2,
    "video": layouts.VIDEO,
    "video_factored": layouts.VIDEO_FACTORED,
    "cifar": layouts.CIFAR,
    "weiaicunzai": layouts.WEIAICUNZAI,
    "hugging_face": layouts.HUGGING_FACE,
    "detectron2": layouts.DETECTRON2,
}


@dataclasses.dataclass(kw_only=True)
class Convert:
    source: Positional[Path]
    """Checkpoint to read: .safetensors, .npz or torch's (.pt, .pth, .bin, .ckpt, ...); or a run's folder."""
    out: Positional[Path]
    """File to write: .safetensors or .npz."""
    layout: (
        Literal[
            "torchvision", "timm", "timm_v2", "video", "video_factored", "cifar",
            "weiaicunzai", "hugging_face", "detectron2",
        ]
        | None
    ) = None  # fmt: skip
    """Names to write; by default those of the checkpoint."""


def convert(argv: Sequence[str]) -> int:
    """A checkpoint, checked against a net, to a file of safetensors or npz in torch's layout.

    `convert resnet50.pth resnet50.safetensors --model resnet50`
    `convert runs/cifar10 cifar10.safetensors`

    Names and float32 values stay as they are, bit for bit; narrower floats are widened to
    float32. Wrappers such as DataParallel's `module.` and `num_batches_tracked` are left out.
    """
    # Which flags there are depends on the net, so its name has to be known before.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model")
    known, rest = parser.parse_known_args(argv)
    # A run's folder says itself which net it is.
    net = find_net(known.model or next((word for word in rest if Path(word).is_dir()), None))
    flags, arguments = parse(Convert, f"convert --model {net.name}", net, rest, num_classes=None)
    check_new("out", flags.out, files.WRITTEN)
    loaded = load_net(net, arguments, flags.source)
    layout = LAYOUTS[flags.layout] if flags.layout else loaded.layout
    state = renamed(loaded, layout)
    files.save(state, flags.out)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(loaded.variables["params"]))
    print(
        f"{shown(flags.out)}: {len(state)} tensors with {layout.name} names, {parameters:,} parameters"
    )
    return 0


def renamed(loaded: Loaded, layout: layouts.Layout) -> dict[str, np.ndarray]:
    """The state dict in `layout`. Raises UsageError if that has no name of its own for each leaf."""
    try:
        state = to_torch(loaded.variables, loaded.model, layout)
    except (KeyError, ValueError) as error:
        raise UsageError(f"layout {layout.name!r} has no names for this net ({error})") from error
    if len(state) != len(jax.tree.leaves(loaded.variables)):
        raise UsageError(f"layout {layout.name!r} has one name for several layers of this net")
    return state
