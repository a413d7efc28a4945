"""Recipes of segmented volumes: nnU-Net's residual encoders, and one for a small machine."""

import dataclasses
from typing import Any, Literal

import optax

from jresnet.data.augment.geometry import Place
from jresnet.data.augment.intensity import Gain, Gamma, Noise
from jresnet.data.augment.places import Flip, Rotate, Scale
from jresnet.data.info import Dataset
from jresnet.data.normalisation import Prepared
from jresnet.data.pipeline import ImageData
from jresnet.data.volume_parts import RandomPatch, WholeVolume
from jresnet.data.volumes import Size
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.block import ModuleDef
from jresnet.models.heads.maps import Segmenter
from jresnet.models.norms import BatchNorm, InstanceNorm
from jresnet.recipes.changes import with_changes
from jresnet.tasks.base import Variables
from jresnet.tasks.boundaries import SegmentWithBoundaries
from jresnet.tasks.classify import Augmentation
from jresnet.tasks.map_losses import CrossEntropy, MapLoss, Sum, dice
from jresnet.tasks.segment import Segment
from jresnet.tasks.windows import Windows
from jresnet.train.loop import Plan
from jresnet.train.optim import clipped, scheduled, sgd
from jresnet.train.schedules import polynomial, ramped_cosine

VolumeRecipeName = Literal["small", "resenc_m", "resenc_l", "resenc_xl"]

PLANES = ((-1, -2), (-1, -3), (-2, -3))
FLIPS: tuple[Place, ...] = tuple(Flip(axis=axis) for axis in (-1, -2, -3))


@dataclasses.dataclass(frozen=True)
class VolumeRecipe:
    """How nets for volumes are trained.

    - patch: (depth, height, width) in voxels of the random parts that are trained on.
    - depths, widths, strides, deep: those of `zoo.residual_unet`.
    - places, intensity: joint geometry, and intensity of the image.
    - optimizer: `sgd` with Nesterov momentum 0.99, gradients clipped at a norm of 12 and a
      polynomial schedule of power 0.9; or `adamw` with half a cosine after a ramp.
    - absent: whether voxels that are taken for a class which the batch lacks cost in Dice, as in
      nnU-Net.
    - foreground: share of the patches that lie about a voxel of a class other than 0.
    - windowed: whether nets see volumes in windows of `patch` (`tasks.windows`), or whole.
    - pieces: in how many parts of equal length a training is evaluated and saved.
    - norm: of the net; the statistics of an instance differ between a patch and a whole volume, so
      `InstanceNorm` needs `windowed`.
    """

    steps: int
    batch_size: int
    learning_rate: float
    patch: Size
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    deep: bool = True
    places: tuple[Place, ...] = FLIPS
    intensity: tuple[Augmentation, ...] = ()
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: float = 3e-5
    absent: bool = True
    foreground: float = 1 / 3
    windowed: bool = True
    pieces: int = 20
    norm: ModuleDef = InstanceNorm

    def net(self, num_classes: int) -> Segmenter:
        """A residual-encoder U-Net."""
        return zoo.residual_unet(
            num_classes, self.depths, self.widths, self.strides, deep=self.deep, norm=self.norm
        )

    @property
    def stride(self) -> int:
        """Voxels of the image to one of the coarsest feature, along each axis."""
        product = 1
        for stride in self.strides:
            product *= stride
        return product

    def data(self, volumes: Dataset, largest: Size, **fields: Any) -> ImageData:
        """Random patches of "train"; whole volumes of "test", padded to the `largest` of the set.

        Sides are padded to whole multiples of the net's stride.
        """
        return ImageData(
            volumes,
            batch_size=self.batch_size,
            eval_batch_size=1,
            fill=True,
            train_transform=RandomPatch(self.patch, foreground=self.foreground),
            eval_transform=WholeVolume(largest, self.stride).holding(largest),
            **fields,
        )

    def experiment(
        self,
        net: Segmenter,
        data: ImageData,
        start: Variables | None = None,
        criterion: MapLoss | None = None,
        boundaries: bool = False,
    ) -> Experiment:
        """The training of `net`, from `start` or fresh.

        `criterion` takes the place of `loss`; `boundaries` says whether their distances are
        measured too.
        """
        info = data.info()
        kind = SegmentWithBoundaries if boundaries else Segment
        task = kind(
            net,
            Prepared(),
            criterion or loss(info.num_classes, self.absent),
            places=self.places,
            pixel_augment=self.intensity,
            classes=info.class_names,
            windows=Windows(self.patch) if self.windowed else None,
        )
        every = max(1, self.steps // self.pieces)
        log_every = max(1, self.steps // 100)
        plan = Plan(self.steps, data.seed, save_every=every, eval_every=every, log_every=log_every)
        return Experiment(task, data, self._optimizer(), plan, start)

    def _optimizer(self) -> optax.GradientTransformation:
        if self.optimizer == "sgd":
            rate = polynomial(self.learning_rate, self.steps, 0.9)
            return clipped(sgd(rate, 0.99, self.weight_decay, nesterov=True), 12.0)
        rate = ramped_cosine(self.learning_rate, self.steps)
        return scheduled(optax.adamw(rate, weight_decay=self.weight_decay), rate)

    def changed(self, **changes: Any) -> "VolumeRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


def loss(num_classes: int, absent: bool = True) -> MapLoss:
    """Cross-entropy plus soft Dice over the batch without class 0 (arXiv:1904.08128, section 4).

    Numerator and denominator have nnU-Net's smoothing of 1e-5, so that a class that neither truth nor
    prediction has in the batch has a Dice of 1. Without `absent` it has that also where it is
    predicted.
    """
    classes = tuple(range(1, num_classes))
    return Sum((CrossEntropy(), dice(1e-5, classes=classes, absent=absent)))


# nnU-Net's six stages (arXiv:2404.09556, section 3); its blur, contrast and low resolution are left out.
RESENC = VolumeRecipe(
    250_000, 2, 0.01, (128, 128, 128),
    depths=(1, 3, 4, 6, 6, 6), widths=(32, 64, 128, 256, 320, 320), strides=(1, 2, 2, 2, 2, 2),
    places=(
        *(Rotate(30.0, axes, 0.2) for axes in PLANES), Scale(0.7, 1.4, 0.2), *FLIPS,
    ),
    intensity=(Noise(), Gain(), Gamma(probability=0.1, inverted=True), Gamma()),
)  # fmt: skip
RECIPES: dict[VolumeRecipeName, VolumeRecipe] = {
    "small": VolumeRecipe(
        500, 2, 5e-3, (32, 32, 32), depths=(1, 1, 1), widths=(8, 16, 32), strides=(1, 2, 2),
        deep=False, places=(Rotate(10.0), Flip()), intensity=(Gain(0.9, 1.1), Noise(0.01)),
        optimizer="adamw", weight_decay=0.01, absent=False, windowed=False, pieces=2, norm=BatchNorm,
    ),
    "resenc_m": RESENC,
    "resenc_l": RESENC.changed(patch=(160, 192, 160)),
    "resenc_xl": RESENC.changed(patch=(192, 224, 192)),
}  # fmt: skip
