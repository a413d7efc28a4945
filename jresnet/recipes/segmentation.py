"""Recipes of semantic segmentation: published ones, and one for small sets on a small machine."""

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, Literal

import optax

from jresnet.data.augment.colour import ColourJitter
from jresnet.data.augment.places import Flip
from jresnet.data.buckets import Bucketed, smallest_that_holds
from jresnet.data.info import Dataset
from jresnet.data.normalisation import IMAGENET
from jresnet.data.pipeline import ImageData
from jresnet.data.with_map import AtOwnSize, FitWithMap, RandomCropWithMap
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads.maps import Segmenter
from jresnet.recipes.changes import with_changes
from jresnet.tasks.base import Array, Variables
from jresnet.tasks.boundaries import SegmentWithBoundaries
from jresnet.tasks.map_losses import (
    CrossEntropy,
    Focal,
    Lovasz,
    MapLoss,
    Overlap,
    Sum,
    dice,
    jaccard,
)
from jresnet.tasks.segment import Segment
from jresnet.train.loop import Plan
from jresnet.train.optim import scheduled, sgd
from jresnet.train.schedules import polynomial, ramped_cosine

RecipeName = Literal["small", "voc", "cityscapes"]
CROSS_ENTROPY = CrossEntropy()

# The losses that `criterion` knows. Tversky with the paper's best weights: misses count more than
# false alarms (arXiv:1706.05721, section 3).
LOSSES: dict[str, MapLoss] = {
    "cross_entropy": CROSS_ENTROPY,
    "focal": Focal(),
    "dice": dice(),
    "jaccard": jaccard(),
    "tversky": Overlap(0.3, 0.7),
    "lovasz": Lovasz(levels=1024),
}


def criterion(loss: str, class_weights: tuple[float, ...] | None = None) -> MapLoss:
    """A loss by its name, or the sum of several, whose names a `+` joins.

    Raises UsageError for other names, a name that comes twice, and weights of classes where no
    loss takes them.
    """
    names = loss.split("+")
    known = ", ".join(LOSSES)
    if unknown := [name for name in names if name not in LOSSES]:
        near = difflib.get_close_matches(unknown[0], LOSSES, 1)
        hint = f"; {unknown[0]!r} is near {near[0]}" if near else ""
        raise UsageError(f"loss={loss!r}: expected one of {known}, or several joined by +{hint}")
    if len(set(names)) < len(names):
        raise UsageError(f"loss={loss!r}: expected each of its names once")
    if class_weights is not None and not takes_weights(loss):
        raise UsageError(
            f"class_weights: expected none with loss {loss}; cross_entropy and sums with it take them"
        )
    losses = [LOSSES[name] for name in names]
    losses = [CrossEntropy(class_weights) if one == CROSS_ENTROPY else one for one in losses]
    return losses[0] if len(losses) == 1 else Sum(tuple(losses))


def takes_weights(loss: str) -> bool:
    """Whether weights of classes have a meaning in a loss of `criterion`."""
    return "cross_entropy" in loss.split("+")


@dataclasses.dataclass(frozen=True)
class SegmentRecipe:
    """How nets for label maps are trained.

    - crop: (height, width) of the random part of an image that is trained on; at most the size of
      images that are of one size.
    - low, high: an image is scaled by a factor between them before the crop.
    - evaluated: sizes that whole images are padded to, the smallest that holds an image; images of
      one size stay as they are.
    - schedule: `polynomial` with power 0.9, or `cosine` after a ramp of a tenth of the steps.
    - optimizer: `sgd` with momentum 0.9, or `adamw`.
    - loss: what is minimised, as in `criterion`.
    - class_weights: the power of median frequency balancing that weighs classes in cross-entropy,
      0 for no weights, 1 for a rare class to weigh as much as its share is small.
    - colour: how far brightness, contrast and saturation are changed at random, 0 to 1.
    """

    steps: int
    batch_size: int
    learning_rate: float
    crop: tuple[int, int]
    evaluated: tuple[tuple[int, int], ...]
    low: float = 0.5
    high: float = 2.0
    weight_decay: float = 1e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["polynomial", "cosine"] = "polynomial"
    auxiliary: float = 0.4
    loss: str = "cross_entropy"
    class_weights: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for a loss that there is none of."""
        criterion(self.loss)

    def data(self, maps: Dataset, own_size: bool = False, **fields: Any) -> ImageData:
        """The set's splits "train" and "test" through the recipe's transforms.

        With `own_size` images are evaluated as large as they are, and not scaled to `evaluated`.
        """
        shape, crop = maps.info().fixed_shape, self.crop
        whole = [FitWithMap(size) for size in self.evaluated]
        evaluated = whole[0] if len(whole) == 1 else Bucketed(tuple(whole), smallest_that_holds)
        if shape is not None:
            crop = min(crop[0], shape[0]), min(crop[1], shape[1])
            evaluated = FitWithMap()
        if own_size:
            evaluated = AtOwnSize(base=crop if shape is None else (shape[0], shape[1]))
        return ImageData(
            maps,
            train_transform=RandomCropWithMap(crop, 3, self.low, self.high),
            eval_transform=evaluated,
            **fields,
        )

    def experiment(
        self,
        net: Segmenter,
        data: ImageData,
        criterion: MapLoss = CROSS_ENTROPY,
        normalize: Callable[[Array], Array] = IMAGENET,
        start: Variables | None = None,
        boundaries: bool = False,
        **evaluation: Any,
    ) -> Experiment:
        """The training of `net`, from `start` or fresh.

        `evaluation` are fields of `Segment` such as `windows` and `views`.
        """
        kind = SegmentWithBoundaries if boundaries else Segment
        jitter = ColourJitter(self.colour, self.colour, self.colour)
        task = kind(
            net,
            normalize,
            criterion,
            self.auxiliary,
            places=(Flip(),),
            pixel_augment=(jitter,) if self.colour else (),
            classes=data.info().class_names,
            **evaluation,
        )
        plan = Plan(
            self.steps,
            data.seed,
            save_every=max(1, self.steps // 4),
            eval_every=max(1, self.steps // 4),
            log_every=max(1, self.steps // 100),
        )
        return Experiment(task, data, self._optimizer(), plan, start)

    def _optimizer(self) -> optax.GradientTransformation:
        if self.schedule == "polynomial":
            rate = polynomial(self.learning_rate, self.steps, 0.9)
        else:
            rate = ramped_cosine(self.learning_rate, self.steps)
        if self.optimizer == "sgd":
            return sgd(rate, weight_decay=self.weight_decay)
        return scheduled(optax.adamw(rate, weight_decay=self.weight_decay), rate)

    def changed(self, **changes: Any) -> "SegmentRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


RECIPES: dict[RecipeName, SegmentRecipe] = {
    # Pictures of about 240 x 180 on two CPU cores.
    "small": SegmentRecipe(
        1000, 5, 2e-3, (180, 240), ((192, 256),), low=1.0, high=1.0, weight_decay=0.01,
        optimizer="adamw", schedule="cosine", loss="cross_entropy+dice", class_weights=0.25,
    ),
    # Chen et al. 2017 (arXiv:1706.05587, section 4.1): crops of 513, 30k steps of 16.
    "voc": SegmentRecipe(30_000, 16, 7e-3, (513, 513), ((513, 513),)),
    # mmsegmentation's DeepLabv3 and v3+ of 80k steps: crops of 512 x 1024, steps of 8.
    "cityscapes": SegmentRecipe(
        80_000, 8, 1e-2, (512, 1024), ((1024, 2048),), weight_decay=5e-4
    ),
}  # fmt: skip
