"""`convert`: checkpoints to safetensors or npz."""

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from tyro.conf import Positional

from jresnet.commands.arguments import parse
from jresnet.commands.outfile import check_new
from jresnet.errors import UsageError
from jresnet.report.text import format_table
from jresnet.text import shown
from jresnet.weights import files, layouts
from jresnet.weights.convert import to_torch
from jresnet.weights.nets import Loaded, Net, find_net, load_net
from jresnet.weights.pushed import is_pushed
from jresnet.weights.recorded import trainings

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
    """Checkpoint to read: .safetensors, .npz or torch's (.pt, .pth, .bin, .ckpt, ...); a run's
    folder; or a folder of checkpoints."""
    out: Positional[Path]
    """File to write, .safetensors or .npz; for a folder of checkpoints a new or an empty folder."""
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
    `convert checkpoints/ converted/ --model resnet50`

    Names and float32 values stay as they are, bit for bit; narrower floats are widened to
    float32. Wrappers such as DataParallel's `module.` and `num_batches_tracked` are left out. What
    cannot be read in a folder of checkpoints is named on stderr; the status is then 1.
    """
    # Which flags there are depends on the net, so its name has to be known before.
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model")
    known, rest = parser.parse_known_args(argv)
    # A run's folder says itself which net it is.
    net = find_net(known.model or next((word for word in rest if Path(word).is_dir()), None))
    flags, arguments = parse(Convert, f"convert --model {net.name}", net, rest, num_classes=None)
    layout = LAYOUTS[flags.layout] if flags.layout else None
    if flags.source.is_dir() and not is_run(flags.source):
        return convert_folder(net, arguments, flags.source, flags.out, layout)
    check_new("out", flags.out, files.WRITTEN)
    written = convert_one(net, arguments, flags.source, flags.out, layout)
    print(
        f"{shown(flags.out)}: {written.tensors} tensors with {written.names} names, "
        f"{written.parameters:,} parameters"
    )
    return 0


class Written(NamedTuple):
    """Contents of a file that was written."""

    tensors: int
    names: str
    parameters: int


def convert_one(
    net: Net, arguments: Mapping[str, Any], source: Path, out: Path, layout: layouts.Layout | None
) -> Written:
    """One checkpoint; names are those of `layout`, or its own. Raises UsageError."""
    loaded = load_net(net, arguments, source)
    layout = layout or loaded.layout
    state = renamed(loaded, layout)
    files.save(state, out)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(loaded.variables["params"]))
    return Written(len(state), layout.name, parameters)


def convert_folder(
    net: Net, arguments: Mapping[str, Any], source: Path, out: Path, layout: layouts.Layout | None
) -> int:
    """Every checkpoint below `source` to a .safetensors of its name in `out`, and a table of them.

    Returns 1 if one was left out, each of which is named on stderr. Raises UsageError for an `out`
    that is not empty, and for a folder without checkpoints.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(f"out={out}: expected a new or an empty folder")
    names = [path.relative_to(source) for path in sorted(source.rglob("*")) if is_checkpoint(path)]
    if not names:
        raise UsageError(f"source={source}: expected a run, or files in {', '.join(files.READ)}")
    rows: list[tuple[object, ...]] = []
    for name in names:
        target = (out / name).with_suffix(".safetensors")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            rows.append((str(name), *convert_one(net, arguments, source / name, target, layout)))
        except UsageError as error:
            print(f"skipped {shown(' '.join(str(error).split()))}", file=sys.stderr)
    if rows:
        print(format_table(("file", "tensors", "names", "parameters"), rows))
    return int(len(rows) < len(names))


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run or a study, or one that `push` wrote."""
    return (folder / "checkpoints").is_dir() or is_pushed(folder) or bool(trainings(folder))


def is_checkpoint(path: Path) -> bool:
    """Whether a file has the name of a checkpoint and is not hidden."""
    return path.is_file() and path.suffix in files.READ and not path.name.startswith(".")


def renamed(loaded: Loaded, layout: layouts.Layout) -> dict[str, np.ndarray]:
    """The state dict in `layout`. Raises UsageError if that has no name of its own for each leaf."""
    try:
        state = to_torch(loaded.variables, loaded.model, layout)
    except (KeyError, ValueError) as error:
        raise UsageError(f"layout {layout.name!r} has no names for this net ({error})") from error
    if len(state) != len(jax.tree.leaves(loaded.variables)):
        raise UsageError(f"layout {layout.name!r} has one name for several layers of this net")
    return state
