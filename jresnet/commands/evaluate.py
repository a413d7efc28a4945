"""`evaluate`: errors of a trained net on a labelled set, or a run's own metrics on its own data."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jresnet.commands.arguments import parse
from jresnet.commands.other_folder import in_other_folder
from jresnet.commands.outfile import check_new
from jresnet.commands.published_maps import class_names, count_classes, data_for, labeller
from jresnet.commands.published_pictures import pictures_for
from jresnet.commands.trained import load_task, other_run, run_as_net, upscaler
from jresnet.commands.treatment import (
    TREATMENT,
    UNSET,
    Treatment,
    at_hand,
    check_old_run,
    check_takes_pictures,
    cut,
    subject,
    treat,
)
from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.info import Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.files import shorten
from jresnet.errors import UsageError
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.upsample import Upscaler
from jresnet.report.text import format_table
from jresnet.runtime import environment as runtime
from jresnet.runtime.callbacks import usage_errors
from jresnet.runtime.mesh import make_mesh
from jresnet.storage import replacing
from jresnet.tasks.classify import Classify
from jresnet.tasks.scales import Scales
from jresnet.tasks.segment import Segment
from jresnet.tasks.views import MeanOverViews, TenCrops, one
from jresnet.train.outputs import collect
from jresnet.train.setup import evaluator
from jresnet.train.state import TrainState
from jresnet.weights.nets import Loaded, Net, load_net
from jresnet.weights.recorded import Recorded, read_recorded

Outputs = dict[str, np.ndarray]
MAPS = 4  # images at a time that are labelled whole


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


def evaluate(argv: Sequence[str]) -> int:
    """Top-1 and top-5 error of a trained net on every example of a split, or a run's own metrics.

    `evaluate runs/cifar10`
    `evaluate runs/cifar10 --dataset photos/`
    `evaluate resnet50 --weights resnet50.pth --dataset imagenet/ --views ten`
    `evaluate resnet152 --weights r152.pth --dataset imagenet/ --scales 224 256 384 480 640`

    A run tells its net, how its images were cut and normalised, and the names of its classes, by
    which those of the set are matched. Probabilities are averaged over views or scales, as in He
    et al. 2015 (arXiv:1512.03385, section 3.4); deviation: scales see the middle square of an
    image, and pool all of it at once.

    Without a dataset, and for a run that trained no classifier, the run's task is evaluated on the
    data that it was trained with, or on that dataset, and its own metrics are printed.

    A net that labels every pixel, such as deeplabv3_resnet50, takes a folder of images and label
    maps, with 520 pixels of the shorter side or `--resize`; mean IoU and its kin are printed.

    A net that enlarges pictures, such as edsr_baseline with `--scale 2`, takes a folder of large
    ones, which it makes smaller as MATLAB's imresize does; PSNR and SSIM on Y and RGB, and those of
    bicubic, are printed.
    """
    argv = at_hand(argv)
    recorded = other_run(argv)
    if recorded is None:
        net, run, rest = subject(argv)
    else:
        net, run, rest = run_as_net(recorded), {"weights": recorded.folder}, list(argv[1:])
    flags, arguments = parse(Evaluate, f"evaluate {net.name}", net, rest, num_classes=None, **run)
    if recorded is None and flags.dataset is None:
        recorded = read_recorded(flags.weights) if flags.weights.is_dir() else None
        if recorded is None:
            raise UsageError("dataset missing: give one to evaluate on")
    if recorded is not None:
        return evaluate_run(recorded, flags)
    if flags.out is not None:
        check_new("out", flags.out, (".npz",))
    check_takes_pictures(net)
    runtime.prepare()
    loaded = load_net(net, arguments, flags.weights)
    if isinstance(loaded.model, Segmenter):
        return evaluate_maps(net, loaded, flags)
    if isinstance(loaded.model, Upscaler):
        return evaluate_pictures(net, loaded.model, loaded.variables, flags)
    check_views(flags)
    chosen = {name: getattr(flags, name) for name in TREATMENT}
    check_old_run(flags.weights, loaded, **{k: v for k, v in chosen.items() if k != "mean"})
    treatment = treat(net, loaded, **chosen)
    views = [outputs(loaded, treatment, flags, side) for side in map(int, flags.scales)]
    views = views or [outputs(loaded, treatment, flags, None)]
    probabilities = np.mean([one["probabilities"] for one in views], 0)
    label = views[0]["label"]
    if flags.out is not None:
        with replacing(flags.out) as file:
            np.savez(file, probabilities=probabilities, label=label)
    print(format_table(HEADERS, [(net.name, *errors(probabilities, label))]))
    return 0


def evaluate_run(recorded: Recorded, flags: Evaluate) -> int:
    """Print the metrics of a run's own task on a split of its own data, or of `flags.dataset`.

    Raises UsageError for flags of classifiers, and for data that cannot be made again.
    """
    check_none(flags, ("out", *TREATMENT))
    runtime.prepare()
    task, variables = load_task(recorded)
    task = with_views(task, flags)
    data = recorded.data()
    if flags.dataset is not None:
        names = recorded.classes if recorded.parts.get("classes") else ()
        data = in_other_folder(data, flags.dataset, names, flags.split)
    changes: dict[str, Any] = {"workers": flags.workers}
    if flags.batch_size is not None:
        changes["eval_batch_size"] = flags.batch_size
    if flags.data_dir is not None:
        changes["data_dir"] = flags.data_dir
    data = dataclasses.replace(data, **{k: v for k, v in changes.items() if hasattr(data, k)})
    if isinstance(data, ImageData):
        data.check((flags.split,))
    else:
        data.check()
    print_metrics(
        "run", recorded.folder.name, metrics_of(task, variables, data, flags.split), flags
    )
    return 0


def evaluate_maps(net: Net, loaded: Loaded, flags: Evaluate) -> int:
    """Print the scores of a net for label maps on a split of `flags.dataset`.

    Raises UsageError for flags of classifiers, and for a set of other classes.
    """
    check_none(flags, ("out", "crop"))
    assert isinstance(loaded.model, Segmenter)
    names = class_names(count_classes(loaded.model))
    trained = labeller(net, loaded, names, flags.resize, flags.mean, flags.std)
    task = with_views(trained.task, flags)
    size = flags.batch_size or MAPS
    data = data_for(trained, str(flags.dataset), flags.data_dir, size, flags.workers)
    data.check((flags.split,))
    scores = metrics_of(task, dict(trained.variables), data, flags.split)
    print_metrics("net", net.name, scores, flags)
    return 0


def evaluate_pictures(
    net: Net, model: Upscaler, variables: Mapping[str, Any], flags: Evaluate
) -> int:
    """Print PSNR and SSIM of a net that enlarges pictures on a split of `flags.dataset`.

    Raises UsageError for flags of classifiers, and for a folder without pictures.
    """
    check_none(flags, ("out", "views", "scales", *TREATMENT))
    trained = upscaler(model, variables, net.name)
    size = flags.batch_size or 1
    data = pictures_for(trained, str(flags.dataset), flags.split, size, flags.workers)
    data.check((flags.split,))
    scores = metrics_of(trained.task, dict(trained.variables), data, flags.split)
    print_metrics("net", net.name, scores, flags)
    return 0


def metrics_of(task: Any, variables: dict[str, Any], data: Any, split: str) -> dict[str, float]:
    """The metrics of a task on a split; `variables` loses its parameters.

    Raises the UsageError of a world that is played through a callback.
    """
    params = variables.pop("params")
    state = TrainState(jnp.zeros((), jnp.int32), params, variables, ())
    evaluate = evaluator(task, data, make_mesh(1), (0, 1))
    with usage_errors():
        return evaluate(state, (split,), lambda split: None)[split]


def print_metrics(kind: str, name: str, metrics: Mapping[str, float], flags: Evaluate) -> None:
    """A table of metrics."""
    rows = [(name, flags.split, metric, value) for metric, value in metrics.items()]
    print(format_table((kind, "split", "metric", "value"), rows))


def check_none(flags: Evaluate, names: Sequence[str]) -> None:
    """Raise UsageError for a flag of classifiers that is set."""
    for name in names:
        if (value := getattr(flags, name)) not in ("one", (), None, UNSET):
            raise UsageError(f"{name}={value}: expected none; it takes a classifier and --dataset")


def with_views(task: Any, flags: Evaluate) -> Any:
    """The task of a run with the views that the flags ask for, those of the run by default.

    Raises UsageError for a task without views, and for views that it does not have.
    """
    if not isinstance(task, Segment):
        check_none(flags, ("views", "scales"))
        return task
    if flags.views == "ten":
        raise UsageError("views='ten': expected one or mirrored, the run's net labels maps")
    if not flags.scales and flags.views == "one":
        return task
    views = Scales(flags.scales or (1.0,), flags.views == "mirrored")
    return dataclasses.replace(task, views=views)


def check_views(flags: Evaluate) -> None:
    """Raise UsageError for views and scales that a classifier does not have."""
    if flags.views == "mirrored":
        raise UsageError("views='mirrored': expected one or ten, the net is a classifier")
    for scale in flags.scales:
        if scale != int(scale):
            raise UsageError(f"scales={scale}: expected whole numbers of pixels for a classifier")
    if flags.scales and flags.views != "one":
        raise UsageError(f"views {flags.views!r} and scales {flags.scales}: take one of the two")


def outputs(loaded: Loaded, treatment: Treatment, flags: Evaluate, side: int | None) -> Outputs:
    """Probabilities and labels at one scale, `side`, or with the views that the flags ask for."""
    transform = treatment.transform
    if side or flags.views == "ten":
        # Ten crops are cut on the device, out of the whole middle square.
        whole = side or treatment.resize
        transform = cut(loaded, ResizeCenterCrop(whole, whole, treatment.interpolation))
    data = ImageData(
        str(flags.dataset),
        1,
        eval_batch_size=flags.batch_size or 64,
        data_dir=flags.data_dir,
        train_transform=transform,
        eval_transform=transform,
        workers=flags.workers,
    )
    numbers = class_numbers(loaded, data.info(), flags)
    data.check((flags.split,))
    task = Classify(loaded.classifier, treatment.normalize)
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
    count = loaded.classifier.num_classes
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
