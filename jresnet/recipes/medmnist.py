"""Disease classification by the protocol of MedMNIST, and its published numbers."""

import dataclasses
from typing import Any, Literal

import jax
import numpy as np
import optax

from jresnet.data.augment.intensity import Gain
from jresnet.data.class_weights import balanced, positive_weights
from jresnet.data.normalisation import Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.medmnist import MedMnist, WithLabels
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.part import part
from jresnet.models.stem import Stem, StemConv
from jresnet.recipes.changes import with_changes
from jresnet.tasks.classify import Augmentation, Classify
from jresnet.tasks.diagnose import Diagnose, DiagnoseMany
from jresnet.tasks.losses import BinaryCrossEntropy, WeightedCrossEntropy
from jresnet.tasks.ordered import Grade
from jresnet.train.loop import Plan
from jresnet.train.optim import scheduled
from jresnet.train.schedules import step_decay

NetName = Literal["resnet18", "resnet50"]
NETS = {"resnet18": zoo.resnet18, "resnet50": zoo.resnet50}

# AUC and accuracy on the test split of ResNet-18 and ResNet-50 at 28 and at 224 pixels
# (arXiv:2110.14795, table 3), means of at least three trainings.
PUBLISHED: dict[str, tuple[tuple[float, float], ...]] = {
    "pathmnist": ((0.983, 0.907), (0.989, 0.909), (0.990, 0.911), (0.989, 0.892)),
    "chestmnist": ((0.768, 0.947), (0.773, 0.947), (0.769, 0.947), (0.773, 0.948)),
    "dermamnist": ((0.917, 0.735), (0.920, 0.754), (0.913, 0.735), (0.912, 0.731)),
    "octmnist": ((0.943, 0.743), (0.958, 0.763), (0.952, 0.762), (0.958, 0.776)),
    "pneumoniamnist": ((0.944, 0.854), (0.956, 0.864), (0.948, 0.854), (0.962, 0.884)),
    "retinamnist": ((0.717, 0.524), (0.710, 0.493), (0.726, 0.528), (0.716, 0.511)),
    "breastmnist": ((0.901, 0.863), (0.891, 0.833), (0.857, 0.812), (0.866, 0.842)),
    "bloodmnist": ((0.998, 0.958), (0.998, 0.963), (0.997, 0.956), (0.997, 0.950)),
    "tissuemnist": ((0.930, 0.676), (0.933, 0.681), (0.931, 0.680), (0.932, 0.680)),
    "organamnist": ((0.997, 0.935), (0.998, 0.951), (0.997, 0.935), (0.998, 0.947)),
    "organcmnist": ((0.992, 0.900), (0.994, 0.920), (0.992, 0.905), (0.993, 0.911)),
    "organsmnist": ((0.972, 0.782), (0.974, 0.778), (0.972, 0.770), (0.975, 0.785)),
}


# Volumes that are shapes: what is inside differs from what is outside, by any factor.
SHAPES = ("adrenalmnist3d", "vesselmnist3d")


def has_volumes(dataset: MedMnist) -> bool:
    """Whether the images of a set have three axes of space."""
    return len(dataset.info().image_shape) > 3


def published(key: str, net: str, size: int) -> tuple[float, float] | None:
    """AUC and accuracy of a set, a net and a resolution; None where none were published."""
    columns = [("resnet18", 28), ("resnet18", 224), ("resnet50", 28), ("resnet50", 224)]
    if key not in PUBLISHED or (net, size) not in columns:
        return None
    return PUBLISHED[key][columns.index((net, size))]


@dataclasses.dataclass(frozen=True)
class Enlarged:
    """Normalisation of images that are enlarged to `size` first, each pixel repeated (nearest)."""

    normalize: Normalize
    size: int

    def __call__(self, images: jax.Array) -> jax.Array:
        """`[batch, *spatial, channels]` to float32 of `size` along every axis of space."""
        space = (self.size,) * (images.ndim - 2)
        shape = (len(images), *space, images.shape[-1])
        return self.normalize(jax.image.resize(images, shape, "nearest"))


@dataclasses.dataclass(frozen=True)
class MedMnistRecipe:
    """The training of MedMNIST's baselines (arXiv:2110.14795, section 4).

    Adam at a constant rate that falls tenfold after half and three quarters of the epochs; pixels
    from -1 to 1, those of volumes from 0 to 1; no augmentation, but of the volumes that are
    `SHAPES`. A training is evaluated every epoch on val and test.

    - batch_size: None for 128 pictures or 32 volumes.
    - weighted: whether rare classes, or the yes of rare labels, weigh as much as others.
    - grades: whether classes in order are learnt as grades (`tasks.ordered.Grade`).
    - resamples: bootstrap samples for the interval of the AUC.
    - size: pixels of a side that images are enlarged to; None for their own.
    """

    epochs: int = 100
    batch_size: int | None = None
    learning_rate: float = 1e-3
    weighted: bool = False
    grades: bool = False
    resamples: int = 200
    size: int | None = None

    def net(
        self, name: NetName, dataset: MedMnist, side: int, width: int | None = None
    ) -> Classifier:
        """A net of 3x3 stem without pool for images below 64 pixels, else as for ImageNet.

        With a `width` its first stage has so many channels, and the others in proportion.
        """
        outputs = len(dataset.classes) - self.grades
        fields: dict[str, Any] = {}
        if (self.size or side) < 64:
            fields["stem"] = part(Stem, convs=(StemConv(width or 64, 3, 1),), pool=None)
        elif width is not None:
            fields["stem"] = part(Stem, convs=(StemConv(width),))
        if width is not None:
            fields["widths"] = tuple(width * 2**stage for stage in range(4))
        return NETS[name](outputs, **fields)

    def data(self, dataset: MedMnist, seed: int) -> ImageData:
        """The three splits of a file."""
        shape = tuple(n for n in dataset.info().image_shape if n is not None)
        transform = WithLabels(shape, len(dataset.classes) if dataset.many else 0)
        batch_size = self.batch_size or (32 if has_volumes(dataset) else 128)
        return ImageData(
            dataset,
            min(batch_size, len(dataset.labels("train"))),
            seed=seed,
            train_transform=transform,
            eval_transform=transform,
            transform_once=True,
            val_split="val",
        )

    def experiment(self, net: Classifier, dataset: MedMnist, seed: int = 0) -> Experiment:
        """The training of one net."""
        data = self.data(dataset, seed)
        epoch = -(-data.size("train") // data.batch_size)
        steps = self.epochs * epoch
        falls = [steps // 2, 3 * steps // 4]
        rate = step_decay(self.learning_rate, falls)
        splits = ("val", "test")
        plan = Plan(
            steps,
            seed,
            eval_every=epoch,
            save_every=epoch,
            log_every=max(1, epoch // 10),
            eval_splits=splits,
            final_splits=splits,
        )
        optimizer = scheduled(optax.adam(rate), rate)
        task = self.task(net, dataset)
        return Experiment(task, data, optimizer, plan, keep_outputs=("test",))

    def task(self, net: Classifier, dataset: MedMnist) -> Classify:
        """The task by the set's kind."""
        channels = dataset.info().image_shape[-1] or 1
        normalize: Any = Normalize((0.5,) * channels, (0.5,) * channels)
        augment: tuple[Augmentation, ...] = ()
        if has_volumes(dataset):
            # Twice a factor from 0 to 1 in training, on volumes that are halved wherever they go.
            shapes = dataset.key in SHAPES
            normalize = Normalize((0.0,), (2.0 if shapes else 1.0,))
            augment = (Gain(0.0, 2.0, probability=1.0),) if shapes else ()
        if self.size is not None:
            normalize = Enlarged(normalize, self.size)
        labels = dataset.labels("train")
        if dataset.many:
            weights = positive_weights(labels) if self.weighted else ()
            minimised = BinaryCrossEntropy(positive_weights=weights)
            return DiagnoseMany(
                net, normalize, augment, criterion=minimised, resamples=self.resamples
            )
        if self.grades:
            return Grade(net, normalize, augment)
        criterion: Any = optax.softmax_cross_entropy
        if self.weighted:
            counts = np.bincount(labels, minlength=len(dataset.classes))
            criterion = WeightedCrossEntropy(balanced(counts))
        return Diagnose(net, normalize, augment, criterion=criterion, resamples=self.resamples)

    def changed(self, **changes: Any) -> "MedMnistRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)
