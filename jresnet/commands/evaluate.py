"""`evaluate` and `ensemble`: errors of trained nets on a labelled set, in one view of each image or many."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jresnet.commands.arguments import parse
from jresnet.commands.outfile import check_new
from jresnet.commands.treatment import (
    Treatment,
    check_old_run,
    check_takes_pictures,
    cut,
    subject,
    treat,
)
from jresnet.data.info import Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources import zips
from jresnet.data.sources.files import shorten
from jresnet.errors import UsageError
from jresnet.report.text import format_table
from jresnet.run import ranges
from jresnet.runtime import environment as runtime
from jresnet.runtime.mesh import make_mesh
from jresnet.storage import replacing
from jresnet.tasks.classify import Classify
from jresnet.tasks.views import MeanOverViews, TenCrops, one
from jresnet.train.outputs import collect
from jresnet.weights.nets import Loaded, load_net

Outputs = dict[str, np.ndarray]


@dataclasses.dataclass(kw_only=True)
class Evaluate:
    weights: Path
    """Checkpoint: .safetensors, .npz, .pt, .pth or .bin in torch's layout; or a run's folder."""
    dataset: str
    """A folder of class folders, an .npz, or a TFDS name; its classes numbered as the net's."""
    data_dir: Path | None = None
    """Where TFDS data sets lie."""
    split: Literal["train", "test"] = "test"
    """Which examples."""
    views: Literal["one", "ten"] = "one"
    """The middle crop, or the four corners, the middle, and their mirror images."""
    scales: tuple[int, ...] = ()
    """Shorter sides whose whole middle squares are averaged, instead of views: 224 256 384 480 640."""
    resize: int | None = None
    """Pixels of the shorter side before the crop; by default as in the run or as published."""
    crop: int | None = None
    """Pixels of either side of a view; by default as in the run or as published."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Of red, green and blue on the scale of [0, 1], for a grey net three times the same. Without
    `std` those of the run, or ImageNet's."""
    std: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Standard deviations, as `mean`."""
    classes: Literal["names", "numbers"] = "names"
    """How the set's classes are matched with those of a run: names, in any order, or numbers."""
    batch_size: int = 64
    """Images at a time."""
    workers: int = 0
    """Processes that decode."""
    out: Path | None = None
    """Also write probabilities and labels there, an .npz for `ensemble`."""


def evaluate(argv: Sequence[str]) -> int:
    """Top-1 and top-5 error of a trained net on every example of a split.

    `evaluate runs/cifar10 --dataset photos/`
    `evaluate resnet50 --weights resnet50.pth --dataset imagenet/ --views ten`
    `evaluate resnet152 --weights r152.pth --dataset imagenet/ --scales 224 256 384 480 640`

    A run tells its net, how its images were cut and normalised, and the names of its classes, by
    which those of the set are matched. Probabilities are averaged over views or scales, as in He
    et al. 2015 (arXiv:1512.03385, section 3.4); deviation: scales see the middle square of an
    image, and pool all of it at once.
    """
    net, run, rest = subject(argv)
    flags, arguments = parse(Evaluate, f"evaluate {net.name}", net, rest, num_classes=None, **run)
    if flags.scales and flags.views != "one":
        raise UsageError(f"views {flags.views!r} and scales {flags.scales}: take one of the two")
    if flags.out is not None:
        check_new("out", flags.out, (".npz",))
    check_takes_pictures(net)
    runtime.prepare()
    loaded = load_net(net, arguments, flags.weights)
    given = {name: getattr(flags, name) for name in ("resize", "crop", "mean", "std")}
    check_old_run(flags.weights, loaded, **{k: v for k, v in given.items() if k != "mean"})
    treatment = treat(net, loaded, **given)
    views = [outputs(loaded, treatment, flags, side) for side in flags.scales or (None,)]
    probabilities = np.mean([one["probabilities"] for one in views], 0)
    label = views[0]["label"]
    if flags.out is not None:
        with replacing(flags.out) as file:
            np.savez(file, probabilities=probabilities, label=label)
    print(format_table(HEADERS, [(net.name, *errors(probabilities, label))]))
    return 0


def outputs(loaded: Loaded, treatment: Treatment, flags: Evaluate, side: int | None) -> Outputs:
    """Probabilities and labels at one scale, `side`, or with the views that the flags ask for."""
    transform = treatment.transform
    if side or flags.views == "ten":
        # Ten crops are cut on the device, out of the whole middle square.
        whole = side or treatment.resize
        transform = cut(loaded, whole, whole)
    data = ImageData(
        flags.dataset,
        1,
        eval_batch_size=flags.batch_size,
        data_dir=flags.data_dir,
        train_transform=transform,
        eval_transform=transform,
        workers=flags.workers,
    )
    numbers = class_numbers(loaded, data.info(), flags)
    data.check((flags.split,))
    task = Classify(loaded.model, treatment.normalize)
    views = TenCrops(treatment.crop) if flags.views == "ten" else one
    examples = collect(
        MeanOverViews(task, views), loaded.variables, data, flags.split, make_mesh(1)
    )
    return {**examples, "label": numbers[examples["label"]]}


def class_numbers(loaded: Loaded, info: Info, flags: Evaluate) -> np.ndarray:
    """The net's number for each class of the set.

    Raises UsageError for a set whose classes are not the net's: other names where the net's are
    known from its run, another count elsewhere.
    """
    count = loaded.model.num_classes
    known = loaded.recorded.classes if loaded.recorded and flags.classes == "names" else None
    if known is None or known == info.class_names:
        if info.num_classes != count:
            raise UsageError(
                f"dataset {flags.dataset!r} has {info.num_classes} classes, the net {count}"
            )
        return np.arange(count)
    if strange := [name for name in info.class_names if name not in known]:
        raise UsageError(
            f"dataset {flags.dataset!r}: class {strange[0]!r} is none of the run's, which are "
            f"{shorten(known)}; --classes numbers takes the set's classes in their order"
        )
    return np.array([known.index(name) for name in info.class_names])


HEADERS = ("net", "top-1 error (%)", "top-5 error (%)", "examples")


def errors(probabilities: np.ndarray, label: np.ndarray) -> tuple[str, str | None, int]:
    """Top-1 and (from six classes on) top-5 error in per cent, and how many examples there were."""
    order = np.argsort(-probabilities, 1, kind="stable")
    top1 = f"{100 * (order[:, 0] != label).mean():.2f}"
    top5 = (order[:, :5] != label[:, None]).all(1).mean()
    return top1, f"{100 * top5:.2f}" if probabilities.shape[1] > 5 else None, len(label)


def ensemble(argv: Sequence[str]) -> int:
    """Errors of several nets and of the mean of their probabilities.

    `ensemble r34.npz r50.npz r101.npz r152.npz`

    The files are those of `evaluate --out`, on the same examples; He et al. 2015, table 5.
    """
    if len(argv) < 2:
        raise UsageError(f"ensemble {' '.join(argv)}: give two files of evaluate --out or more")
    ranges.check({"file": tuple(map(Path, argv))}, {}, "ensemble")
    found = [read(Path(path)) for path in argv]
    label = found[0]["label"]
    for path, one_of in zip(argv, found, strict=True):
        if not np.array_equal(one_of["label"], label):
            raise UsageError(f"{path!r} is of other examples than {argv[0]!r}")
        if one_of["probabilities"].shape != found[0]["probabilities"].shape:
            raise UsageError(f"{path!r} has other classes than {argv[0]!r}")
    rows = [
        (path, *errors(one_of["probabilities"], label))
        for path, one_of in zip(argv, found, strict=True)
    ]
    mean = np.mean([one_of["probabilities"] for one_of in found], 0)
    print(format_table(HEADERS, [*rows, ("ensemble", *errors(mean, label))]))
    return 0


def read(path: Path) -> Outputs:
    """What `evaluate --out` wrote. Raises UsageError for anything else."""
    try:
        outputs = {name: zips.read_array(path, name) for name in ("probabilities", "label")}
    except zips.ZipError as error:
        raise UsageError(f"{str(path)!r} is not of evaluate --out ({error})") from error
    shapes = [array.shape for array in outputs.values()]
    if len(shapes[0]) != 2 or shapes[0][:1] != shapes[1]:
        raise UsageError(f"{str(path)!r} is not of evaluate --out (its arrays are {shapes})")
    return outputs
