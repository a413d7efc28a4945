"""The trainings of the study of faces."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads.embedding import Embedder
from jresnet.recipes.recognition import RecognitionRecipe
from jresnet.studies.recognition.nets import read_start
from jresnet.studies.recognition.sets import Faces
from jresnet.tasks.margins import Margin, combined, cosface, normalised_softmax
from jresnet.tasks.recognise import Recognise

logger = logging.getLogger(__name__)
LossName = Literal["arcface", "cosface", "softmax"]


def margin_of(
    recipe: RecognitionRecipe,
    loss: LossName | None,
    size: float | None,
    parts: tuple[float, ...] = (),
    scale: float | None = None,
) -> Margin:
    """The recipe's margin, or another one.

    Args:
        recipe: whose margin and scale are usual.
        loss: by name; None is the recipe's.
        size: of ArcFace's or CosFace's margin; None is the recipe's for ArcFace, 0.35 for CosFace.
        parts: m1, m2 and m3 of the combined margin, in the place of the two above.
        scale: s; None is the recipe's.

    Raises UsageError for a size with softmax, which has no margin, and for what is no margin.
    """
    scale = recipe.margin.scale if scale is None else scale
    if parts and (len(parts) != 3 or loss is not None or size is not None):
        words = " ".join(f"{part:g}" for part in parts)
        raise UsageError(f"combined={words}: expected m1 m2 m3, and neither loss nor margin")
    if loss == "softmax" and size is not None:
        raise UsageError(f"margin={size:g}: expected none with loss=softmax")
    try:
        if parts:
            return combined(scale, *parts)
        if loss == "softmax":
            return normalised_softmax(scale)
        if loss == "cosface":
            return cosface(scale, 0.35 if size is None else size)
        return dataclasses.replace(
            recipe.margin, scale=scale, additive=recipe.margin.additive if size is None else size
        )
    except ValueError as error:
        if parts:
            name, value = "combined", " ".join(f"{part:g}" for part in parts)
        else:
            name, value = ("scale", scale) if size is None else ("margin", size)
        raise UsageError(f"{name}={value}: expected a margin ({error})") from error


def in_words(loss: LossName | None, parts: tuple[float, ...] = ()) -> str:
    """The name of a loss for the report."""
    if parts:
        return "combined margins of " + ", ".join(f"{part:g}" for part in parts)
    return loss or "arcface"


def trainings(
    recipe: RecognitionRecipe,
    faces: Faces,
    nets: Mapping[str, Embedder],
    seeds: range,
    groups: int = 1,
    gallery: int = 0,
    weights: Path | None = None,
    workers: int = 0,
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN.

    Args:
        recipe: how they are trained.
        faces: the set, and its pairs.
        nets: by their titles.
        seeds: one training of each net for each.
        groups: of classes, as `Recognise` has them.
        gallery: pictures a test person in the gallery.
        weights: a file that they start from.
        workers: processes that decode.

    With fewer classes a step than all a line says how many.
    """
    runs: dict[str, Experiment] = {}
    data = recipe.data(faces.dataset, workers=workers)
    for name, net in nets.items():
        start = None if weights is None else read_start(weights, net, recipe)
        for seed in seeds:
            runs[f"{name}-seed{seed}"] = recipe.experiment(
                net,
                dataclasses.replace(data, seed=seed),
                faces.pairs,
                groups,
                faces.further,
                gallery if faces.named else 0,
                start,
            )
    task = next(iter(runs.values())).task
    if isinstance(task, Recognise) and task.sampled < 1:
        logger.warning("%s", sampling(task, recipe.batch_size))
    return runs


def sampling(task: Recognise, batch: int) -> str:
    """A line on how many people a step of `batch` faces compares with (Partial FC), and why."""
    each, people = task.taken(batch), task.classes
    total = min(each * task.groups, people)
    where = f" in each of {task.groups} groups" if task.groups > 1 else ""
    line = (
        f"sampled={task.sampled:g}: a step compares with {each:,} people{where}, "
        f"{total:,} of {people:,} ({100 * total / people:.0f} %)"
    )
    if each > round(task.sampled * task.in_group):
        line += f"; a group takes at least as many as the {batch:,} faces of a batch, or all that it has"  # fmt: skip
    return line
