"""The trainings of the study of faces."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads.embedding import Embedder
from jresnet.recipes.recognition import RecognitionRecipe
from jresnet.studies.recognition.nets import read_start
from jresnet.studies.recognition.sets import Faces
from jresnet.tasks.margins import Margin, arcface, cosface, normalised_softmax

LossName = Literal["arcface", "cosface", "softmax"]


def margin_of(recipe: RecognitionRecipe, loss: LossName | None, size: float | None) -> Margin:
    """The recipe's margin, or that of a loss by name; `size` replaces the margin's own.

    Without `size` it is the recipe's for ArcFace and 0.35 for CosFace. Raises UsageError for a size
    with softmax, which has no margin.
    """
    usual = recipe.margin
    if loss == "softmax" and size is not None:
        raise UsageError(f"margin={size:g}: expected none with loss=softmax")
    if loss == "softmax":
        return normalised_softmax(usual.scale)
    if loss == "cosface":
        return cosface(usual.scale, 0.35 if size is None else size)
    return usual if size is None else arcface(usual.scale, size)


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
    """
    runs = {}
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
    return runs
