"""The trainings of a study of detectors."""

from collections.abc import Mapping
from typing import Any

from jresnet.data.with_boxes import ObjectSet
from jresnet.experiment import Experiment
from jresnet.models.heads.rcnn import RCNN
from jresnet.recipes.detection import DetectRecipe, Kind
from jresnet.studies.backbone_start import FRESH, Start


def trainings(
    recipe: DetectRecipe,
    objects: ObjectSet,
    kind: Kind,
    nets: Mapping[str, RCNN],
    seeds: range,
    starts: Mapping[str, Start],
    workers: int = 0,
    **task: Any,
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN.

    Args:
        recipe: how they are trained.
        objects: images with their objects.
        kind: what is detected beside boxes.
        nets: the detectors.
        seeds: one training of each net for each.
        starts: weights that a net starts from; arrays that they lack start fresh.
        workers: processes that decode.
        task: fields of `Detect`.
    """
    runs = {}
    for name, net in nets.items():
        variables, normalize = starts.get(name, FRESH)
        fields = task if normalize is None else {"normalize": normalize, **task}
        for seed in seeds:
            data = recipe.data(objects, kind, seed=seed, workers=workers)
            runs[f"{name}-seed{seed}"] = recipe.experiment(net, data, variables, **fields)
    return runs
