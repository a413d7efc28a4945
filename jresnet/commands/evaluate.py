"""`evaluate`: errors of a trained net on a labelled set, or a run's own metrics on its own data."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jresnet.commands.arguments import parse
from jresnet.commands.classifier_errors import HEADERS, errors, outputs
from jresnet.commands.evaluate_flags import Evaluate, check_none, check_views
from jresnet.commands.other_folder import in_other_folder
from jresnet.commands.outfile import check_new
from jresnet.commands.published_maps import class_names, count_classes, data_for, labeller
from jresnet.commands.published_pictures import pictures_for
from jresnet.commands.trained import load_task, other_run, run_as_net, upscaler
from jresnet.commands.treatment import (
    TREATMENT,
    at_hand,
    check_old_run,
    check_takes_pictures,
    subject,
    treat,
)
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.upsample import Upscaler
from jresnet.report.text import format_table
from jresnet.runtime import environment as runtime
from jresnet.runtime.callbacks import usage_errors
from jresnet.runtime.mesh import make_mesh
from jresnet.storage import replacing
from jresnet.tasks.scales import Scales
from jresnet.tasks.segment import Segment
from jresnet.train.setup import evaluator
from jresnet.train.state import TrainState
from jresnet.weights.nets import Loaded, Net, load_net
from jresnet.weights.recorded import Recorded, read_recorded

MAPS = 4  # images at a time that are labelled whole


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
