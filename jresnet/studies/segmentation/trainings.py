"""The trainings of a study of label maps, and further tests of its nets."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from jresnet.data.class_weights import median_frequency, pixel_counts
from jresnet.data.info import Dataset
from jresnet.data.normalisation import IMAGENET
from jresnet.experiment import Experiment
from jresnet.recipes.segmentation import LossName, SegmentRecipe, criterion
from jresnet.studies.segmentation.nets import Build
from jresnet.studies.segmentation.start import FRESH, Start
from jresnet.tasks.map_views import MapViews
from jresnet.tasks.segment import Segment

Balance = Literal["none", "balanced"]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One more test of the trained nets, with the same weights.

    - output_stride: of the net in the test; None for that of training.
    - scales: factors of the images' size, each also mirrored; () for the image alone.
    """

    output_stride: int | None = None
    scales: tuple[float, ...] = ()

    def __str__(self) -> str:
        stride = f"output stride {self.output_stride}" if self.output_stride else "as trained"
        scales = " ".join(f"{scale:g}" for scale in self.scales)
        return stride + (f", scales {scales}, mirrored" if scales else "")

    def task(self, trained: Segment, build: Build) -> Segment | MapViews:
        """The task whose `evaluate` is this test."""
        task = trained
        if self.output_stride is not None:
            task = dataclasses.replace(task, model=build(self.output_stride))
        return MapViews(task, self.scales) if self.scales else task


def protocols(
    output_stride: int | None, scales: tuple[float, ...], nets: Mapping[str, Build]
) -> tuple[Protocol, ...]:
    """The tests beside the nets' own evaluation: at another output stride, and at several scales.

    Raises UsageError for an output stride that the nets do not have.
    """
    for build in nets.values():
        build(output_stride)
    tests = [Protocol(output_stride)] if output_stride is not None else []
    return (*tests, *([Protocol(output_stride, scales)] if scales else []))


def trainings(
    recipe: SegmentRecipe,
    maps: Dataset,
    nets: Mapping[str, Build],
    loss: LossName,
    weights: tuple[float, ...] | None,
    seeds: range,
    starts: Mapping[str, Start],
    **data: Any,
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN.

    Args:
        recipe: how they are trained.
        maps: the images and label maps.
        nets: how each net is built.
        loss: what is minimised.
        weights: weight of each class in the loss; None for none.
        seeds: one training of each net for each.
        starts: weights that the backbone of a net starts from; others start fresh.
        data: further fields of `ImageData`.
    """
    minimised = criterion(loss, weights)
    runs = {}
    for name, build in nets.items():
        variables, normalize = starts.get(name, FRESH)
        for seed in seeds:
            images = recipe.data(
                maps,
                batch_size=recipe.batch_size,
                eval_batch_size=recipe.batch_size,
                seed=seed,
                **data,
            )
            runs[f"{name}-seed{seed}"] = recipe.experiment(
                build(None), images, minimised, normalize or IMAGENET, variables
            )
    return runs


def balanced(class_weights: Balance, loss: LossName, maps: Dataset) -> tuple[float, ...] | None:
    """A weight for each class by how often it occurs in the split "train"; None for none.

    Raises UsageError for a loss that takes none, before any map is read.
    """
    if class_weights == "none":
        return None
    criterion(loss, ())
    return median_frequency(pixel_counts(maps.open("train", encoded=True), maps.info().num_classes))
