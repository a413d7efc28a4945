"""Flags of `evaluate`, and which of them a net takes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jresnet.commands.treatment import UNSET
from jresnet.errors import UsageError


@dataclasses.dataclass(kw_only=True)
class Evaluate:
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    dataset: str | None = None
    """A folder of class folders, an .npz, or a TFDS name; its classes numbered as the net's. With a
    net that enlarges pictures, a folder of pictures. By default a run's own."""
    data_dir: Path | None = None
    """Where TFDS data sets lie."""
    split: Literal["train", "test"] = "test"
    """The examples to evaluate on."""
    views: Literal["one", "ten", "mirrored"] = "one"
    """The middle crop, or the four corners, the middle, and their mirror images. With a run of label
    maps: the image, or also its mirror image, as scores of their own."""
    scales: tuple[float, ...] = ()
    """Shorter sides whose whole middle squares are averaged, instead of views: 224 256 384 480 640.
    With a run of label maps factors, for scores of their own: 0.5 0.75 1 1.25 1.5 1.75."""
    resize: int | None = None
    """Pixels of the shorter side before the crop; by default as in the run or as published."""
    crop: int | None = None
    """Pixels of either side of a view; by default as in the run or as published."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Means of red, green and blue on the scale of [0, 1], for a grey net three times the same.
    Without `std` those of the run, or ImageNet's."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviations, as `mean`."""
    classes: Literal["names", "numbers"] = "names"
    """How the set's classes are matched with those of a run: names, in any order, or numbers."""
    batch_size: int | None = None
    """Images at a time; by default 64, and of a run of another task as many as in the run."""
    workers: int = 0
    """Processes that decode."""
    out: Path | None = None
    """Also write probabilities and labels there, an .npz for `ensemble`."""


def check_none(flags: Evaluate, names: Sequence[str]) -> None:
    """Raise UsageError for a flag of classifiers that is set."""
    for name in names:
        if (value := getattr(flags, name)) not in ("one", (), None, UNSET):
            raise UsageError(f"{name}={value}: expected none; it takes a classifier and --dataset")


def check_views(flags: Evaluate) -> None:
    """Raise UsageError for views and scales that a classifier does not have."""
    if flags.views == "mirrored":
        raise UsageError("views='mirrored': expected one or ten, the net is a classifier")
    for scale in flags.scales:
        if scale != int(scale):
            raise UsageError(f"scales={scale}: expected whole numbers of pixels for a classifier")
    if flags.scales and flags.views != "one":
        raise UsageError(f"views {flags.views!r} and scales {flags.scales}: take one of the two")
