"""The trainings of a study of label maps."""

from collections.abc import Mapping
from typing import Any

from jresnet.data.class_weights import median_frequency, pixel_counts
from jresnet.data.info import Dataset
from jresnet.data.normalisation import IMAGENET
from jresnet.experiment import Experiment
from jresnet.recipes.segmentation import SegmentRecipe, criterion, takes_weights
from jresnet.studies.backbone_start import FRESH, Start
from jresnet.studies.segmentation.nets import Build


def trainings(
    recipe: SegmentRecipe,
    maps: Dataset,
    nets: Mapping[str, Build],
    weights: tuple[float, ...] | None,
    seeds: range,
    starts: Mapping[str, Start],
    evaluation: Mapping[str, Any],
    workers: int = 0,
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN.

    Args:
        recipe: how they are trained.
        maps: the images and label maps.
        nets: how each net is built.
        weights: weight of each class in the loss; None for none.
        seeds: one training of each net for each.
        starts: weights that the backbone of a net starts from; others start fresh.
        evaluation: how label maps are evaluated: `windows`, `views`, `boundaries`.
        workers: processes that decode.
    """
    minimised = criterion(recipe.loss, weights)
    runs = {}
    for name, build in nets.items():
        variables, normalize = starts.get(name, FRESH)
        for seed in seeds:
            images = recipe.data(
                maps,
                evaluation.get("windows") is not None,
                batch_size=recipe.batch_size,
                eval_batch_size=recipe.batch_size,
                seed=seed,
                workers=workers,
            )
            runs[f"{name}-seed{seed}"] = recipe.experiment(
                build(None), images, minimised, normalize or IMAGENET, variables, **evaluation
            )
    return runs


def weights_of(
    recipe: SegmentRecipe, power: float | None, maps: Dataset
) -> tuple[float, ...] | None:
    """A weight for each class by how often it occurs in the split "train"; None for none.

    `power` takes the place of the recipe's; without it a loss that takes no weights gets none.
    Raises UsageError for a power above 0 with such a loss, before any map is read.
    """
    if power:
        criterion(recipe.loss, ())
    if power is None:
        power = recipe.class_weights if takes_weights(recipe.loss) else 0.0
    if not power:
        return None
    counts = pixel_counts(maps.open("train", encoded=True), maps.info().num_classes)
    return median_frequency(counts, power)
