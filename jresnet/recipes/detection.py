"""Recipes of detectors: published ones on COCO, and one for small sets on a small machine."""

import dataclasses
from typing import Any, Literal

import optax

from jresnet.data.buckets import Bucketed
from jresnet.data.normalisation import IMAGENET
from jresnet.data.pipeline import ImageData
from jresnet.data.with_boxes import (
    FitWithBoxes,
    ObjectSet,
    RandomCropWithBoxes,
    RandomSideWithBoxes,
    by_proportions,
)
from jresnet.experiment import Experiment
from jresnet.models.heads.rcnn import RCNN
from jresnet.recipes.changes import with_changes
from jresnet.tasks.base import Variables
from jresnet.tasks.detect import Detect
from jresnet.tasks.detect_losses import BETA
from jresnet.train.loop import Plan
from jresnet.train.optim import DECAY_ALL, Rules, scheduled, sgd
from jresnet.train.schedules import ramped, ramped_cosine, step_decay

DetectRecipeName = Literal["small", "1x", "3x", "lsj_100", "lsj_200", "lsj_400"]
Kind = Literal["boxes", "masks", "keypoints"]
ROWS = 8  # rows of objects are a multiple of it
COCO_LIMIT = 100  # rows of objects in training, more than nearly all of COCO's images have


@dataclasses.dataclass(frozen=True)
class DetectRecipe:
    """How detectors are trained.

    - size: pixels of the shorter and longer side that images are scaled to fit in.
    - sides: the shorter side in training is one of them at random; () for `size` alone.
    - jitter: smallest and largest factor of large-scale jitter, on squares of `crop` pixels.
    - optimizer: `sgd` with momentum 0.9, or `adamw` with half a cosine after a ramp.
    - decays: with `sgd`, shares of the steps after which the rate is a tenth.
    - warmup: with `sgd`, steps of a linear ramp from a thousandth of the rate.
    - mirror: probabilities that left and right, and top and bottom change places.
    - limit: rows of objects in training; None for as many as an image of the set has.
    - pieces: in how many parts of equal length a training is evaluated and saved.
    - cells: of a mask cropped to its box, along a side.
    - beta: of the smooth L1 loss, as in `Detect`.
    - proposals: how many of the first stage the second learns from at most; None: those of the net.
    - decay: with `sgd`, which parameters decay.
    """

    steps: int
    batch_size: int
    learning_rate: float
    size: tuple[int, int]
    sides: tuple[int, ...] = ()
    jitter: tuple[float, float] | None = None
    crop: int = 1024
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: float = 1e-4
    decays: tuple[float, ...] = (2 / 3, 8 / 9)
    warmup: int = 1000
    mirror: tuple[float, float] = (0.5, 0.0)
    limit: int | None = COCO_LIMIT
    pieces: int = 10
    cells: int = 56
    beta: float = BETA
    proposals: int | None = None
    decay: Rules = DECAY_ALL

    def data(self, objects: ObjectSet, kind: Kind, **fields: Any) -> ImageData:
        """The splits "train" and "test" of a set with boxes, through the recipe's transforms."""
        largest = {split: objects.largest(split) for split in ("train", "test")}
        rows = {
            split: max(ROWS, -(-count // ROWS) * ROWS) for split, (count, *_) in largest.items()
        }
        limit = min(rows["train"], self.limit or rows["train"])
        cells = self.cells if kind == "masks" else None
        points = largest["train"][2] if kind == "keypoints" else 0
        common = {"cells": cells, "keypoints": points}
        tested = {"limit": rows["test"], **common}
        tested |= {"runs": largest["test"][1] if kind == "masks" else None}
        learnt = {"limit": limit, "training": True, **common}
        shape = objects.info().fixed_shape
        return ImageData(
            objects,
            self.batch_size,
            self.batch_size,
            train_transform=self._training(learnt, shape),
            eval_transform=self._evaluation(tested, shape),
            **fields,
        )

    def _training(
        self, fields: dict[str, Any], shape: tuple[int, ...] | None
    ) -> FitWithBoxes | Bucketed:
        if self.jitter is not None:
            low, high = self.jitter
            square = self.crop, self.crop
            return RandomCropWithBoxes(square, low=low, high=high, **fields)
        if not self.sides:
            return self._whole(fields, shape)
        one = RandomSideWithBoxes(sides=self.sides, longest=self.size[1], **fields)
        return by_proportions(one, *_up(self.size))

    def _evaluation(
        self, fields: dict[str, Any], shape: tuple[int, ...] | None
    ) -> FitWithBoxes | Bucketed:
        if self.sides or self.jitter is not None:
            one = FitWithBoxes(shortest=self.size[0], longest=self.size[1], **fields)
            return by_proportions(one, *_up(self.size))
        return self._whole(fields, shape)

    def _whole(
        self, fields: dict[str, Any], shape: tuple[int, ...] | None
    ) -> FitWithBoxes | Bucketed:
        """Whole images at one scale: of one size if all are, else in three; sides are multiples of 32."""
        if shape is None:
            return by_proportions(FitWithBoxes(**fields), *self.size)
        height, width = shape[:2]
        scale = min(1.0, self.size[0] / min(height, width), self.size[1] / max(height, width))
        return FitWithBoxes(_up((round(scale * height), round(scale * width))), **fields)

    def experiment(
        self, net: RCNN, data: ImageData, start: Variables | None = None, **task: Any
    ) -> Experiment:
        """The training of `net`, from `start` or fresh; `task` are fields of `Detect`."""
        fields = {"normalize": IMAGENET, "mirror": self.mirror, "beta": self.beta, **task}
        if self.proposals is not None:
            learnt, told = net.settings.after
            after = min(learnt, self.proposals), told
            net = net.clone(settings=dataclasses.replace(net.settings, after=after))
        every = max(1, self.steps // self.pieces)
        plan = Plan(
            self.steps,
            data.seed,
            save_every=every,
            eval_every=every,
            log_every=max(1, self.steps // 100),
        )
        detect = Detect(net, classes=data.info().class_names, **fields)
        return Experiment(detect, data, self._optimizer(), plan, start)

    def _optimizer(self) -> optax.GradientTransformation:
        peak = self.learning_rate
        if self.optimizer == "adamw":
            rate = ramped_cosine(peak, self.steps)
            return scheduled(optax.adamw(rate, weight_decay=self.weight_decay), rate)
        decays = [round(share * self.steps) for share in self.decays]
        warmup = min(self.warmup, self.steps // 10)
        rate = ramped(step_decay(peak, decays), peak, peak / 1000, warmup)
        return sgd(rate, weight_decay=self.weight_decay, decay=self.decay)

    def changed(self, **changes: Any) -> "DetectRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


def _up(size: tuple[int, int]) -> tuple[int, int]:
    """Sides up to multiples of 32, the coarsest stride of a backbone."""
    return -(-size[0] // 32) * 32, -(-size[1] // 32) * 32


SIDES = (640, 672, 704, 736, 768, 800)
# detectron2's: scales and biases of norms do not decay (SOLVER.WEIGHT_DECAY_NORM 0).
DECAY_BUT_NORMS: Rules = ((r"norm[^/]*/(scale|bias)$", False), (r".*", True))
# detectron2's R50-FPN configurations: 90,000 and 270,000 steps of 16 images; SMOOTH_L1_BETA 0 in both
# stages (config/defaults.py), POST_NMS_TOPK_TRAIN 1000 (configs/Base-RCNN-FPN.yaml).
ONCE = DetectRecipe(
    90_000, 16, 0.02, (800, 1333), SIDES, beta=0.0, proposals=1000, decay=DECAY_BUT_NORMS
)
# detectron2's new baselines from random weights (configs/new_baselines, configs/common): 100 epochs are
# 184,375 steps of 64 images; beta, proposals and decay as above.
JITTER = DetectRecipe(
    184_375, 64, 0.1, (800, 1333), jitter=(0.1, 2.0), weight_decay=4e-5, warmup=500,
    decays=(163_889 / 184_375, 177_546 / 184_375), beta=0.0, proposals=1000, decay=DECAY_BUT_NORMS,
)  # fmt: skip
RECIPES: dict[DetectRecipeName, DetectRecipe] = {
    # Pictures of about 320 x 240 on two CPU cores.
    "small": DetectRecipe(
        400, 4, 2e-3, (256, 320), optimizer="adamw", weight_decay=0.01, mirror=(0.5, 0.5),
        limit=None, pieces=2, cells=28,
    ),
    "1x": ONCE,
    "3x": ONCE.changed(steps=270_000, decays=(210_000 / 270_000, 250_000 / 270_000)),
    "lsj_100": JITTER,
    "lsj_200": JITTER.changed(steps=2 * 184_375),
    "lsj_400": JITTER.changed(steps=4 * 184_375),
}  # fmt: skip
