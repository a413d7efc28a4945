"""Flags of `predict`, and which of them a net takes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from jresnet.commands.results import Results
from jresnet.commands.treatment import (
    TREATMENT,
    UNSET,
)
from jresnet.data.lines import read_lines
from jresnet.errors import UsageError
from jresnet.runtime import environment as runtime
from jresnet.weights.nets import Net
from jresnet.weights.recorded import Recorded
from jresnet.weights.remote import spelled


@dataclasses.dataclass(kw_only=True)
class Predict:
    images: Positional[tuple[Path, ...]]
    """Image files, folders of which all images are taken, and video files of which all frames are.
    For a run of clips video files and folders of frames. For a run of volumes NIfTI files, folders of them, and folders of DICOM slices."""
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    out: Path | None = None
    """Also write a drawing of each result, and predictions.json, into this new or empty folder."""
    gallery: Path | None = None
    """For nets for faces: a folder of pictures, or of a folder a person, to look for the images in."""
    landmarks: Path | None = None
    """For nets for faces: a table of five points a picture, by which faces are aligned."""
    threshold: float | None = None
    """For nets for faces: the cosine from which on two pictures are one person's; by default the run's."""
    far: float | None = None
    """For nets for faces: instead of a threshold a rate of false accepts that the run has measured."""
    strength: float | None = None
    """Share of the result, from 0 to 1, of a net that paints pictures anew; the rest is the picture."""
    saliency: str | None = None
    """For classifiers of pictures: a stage of the net, such as stage3, or last, whose Grad-CAM
    `--out` draws beside each picture. It is no outline of what is in the picture."""
    labels: Path | None = None
    """Text file with the name of a class on each line; by default the run's classes, or numbers."""
    annotations: Path | None = None
    """For detectors: JSON file in COCO's format, whose ids of images and categories the results have."""
    resize: int | None = None
    """Pixels of the shorter side before the crop; by default as in the run or as published."""
    crop: int | None = None
    """Pixels of either side of the square cut from the middle; by default as in the run or as published."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Means of red, green and blue on the scale of [0, 1], for a grey net three times the same.
    Without `std` those of the run, or ImageNet's."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviations, as `mean`."""

    def treatment(self) -> dict[str, Any]:
        """The flags that say how pictures are cut and normalised."""
        return {name: getattr(self, name) for name in TREATMENT}


def new_results(flags: Predict, net: Net, files: int) -> Results | None:
    """The folder of `--out`, if there is one."""
    if flags.out is None:
        return None
    run_folder = str(flags.weights) if flags.weights.is_dir() else None
    about = {"net": net.name, "run": run_folder, "weights": spelled(flags.weights)}
    return Results(flags.out, {**about, "versions": runtime.versions()}, files)


def check_run_decides(recorded: Recorded, flags: Predict) -> None:
    """Raise UsageError for flags of classifiers with a run of another task."""
    check_unset(flags, f"run {str(recorded.folder)!r} trained no classifier")


def check_unset(flags: Predict, reason: str, names: Sequence[str] = ("labels", *TREATMENT)) -> None:
    """Raise UsageError for flags of classifiers, with a reason why there should be none."""
    for name in names:
        if (value := getattr(flags, name)) not in (None, UNSET):
            raise UsageError(f"{name}={value}: expected none, {reason}")


def read_labels(path: Path | None, num_classes: int) -> list[str]:
    """The names of the classes, one a line; their numbers without a file.

    UTF-8, or UTF-16 with a byte order mark, as Windows writes them. Raises UsageError for a file that is
    not text, or has another number of lines.
    """
    if path is None:
        return [str(number) for number in range(num_classes)]
    try:
        labels = read_lines(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"labels {str(path)!r}: not a readable text file ({error})") from error
    if len(labels) != num_classes:
        raise UsageError(
            f"labels {str(path)!r} has {len(labels)} lines: the net has {num_classes} classes, "
            "and each needs one"
        )
    return labels
