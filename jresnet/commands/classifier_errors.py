"""Errors of a classifier on a labelled set, by the mean of its probabilities over views."""

import numpy as np

from jresnet.commands.evaluate_flags import Evaluate
from jresnet.commands.treatment import Treatment, cut
from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.info import Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.files import shorten
from jresnet.errors import UsageError
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.classify import Classify
from jresnet.tasks.views import MeanOverViews, TenCrops, one
from jresnet.train.outputs import collect
from jresnet.weights.nets import Loaded

Outputs = dict[str, np.ndarray]
HEADERS = ("net", "top-1 error (%)", "top-5 error (%)", "examples")


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


def errors(probabilities: np.ndarray, label: np.ndarray) -> tuple[str, str | None, int]:
    """Top-1 and (from six classes on) top-5 error in per cent, and how many examples there were."""
    order = np.argsort(-probabilities, 1, kind="stable")
    top1 = f"{100 * (order[:, 0] != label).mean():.2f}"
    top5 = (order[:, :5] != label[:, None]).all(1).mean()
    return top1, f"{100 * top5:.2f}" if probabilities.shape[1] > 5 else None, len(label)
