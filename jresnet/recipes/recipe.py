"""A recipe: the training of a classifier as papers state it, and the experiment that follows it."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import optax

from jresnet.data.augment.flip_and_crop import RandomFlip
from jresnet.data.augment.mix import Mix
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.normalisation import IMAGENET, Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.transform import ImageTransform
from jresnet.experiment import Experiment
from jresnet.models.heads import Classifier
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.tasks.classify import Augmentation, Classify
from jresnet.train.loop import Plan
from jresnet.train.optim import DECAY_KERNELS, Rules, adamw, clipped, lamb, lars, sgd
from jresnet.train.schedules import cosine, polynomial, ramped, step_decay


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a training. Lengths count epochs.

    - learning_rate: the peak for `batch_size`; another batch scales it in proportion.
    - schedule, drops: the rate is divided by 10 at each of `drops`, or falls to 0 along half a
      cosine or a parabola.
    - warmup_epochs, warmup_start: length of the ramp, and its start as a factor of `learning_rate`,
      which does not scale with the batch.
    - decay: rules for the parameters that decay.
    - mix, augment, pixel_augment, criterion: those of `Classify`.
    - train_crop, train_size: random crops are `train_crop(train_size)`.
    - test_resize, test_size: evaluation resizes the shorter side and takes the middle.
    - drop_path, dropout, zero_init_residual, batch_norm_group: fields of the net.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 256
    optimizer: Literal["sgd", "nesterov", "lars", "lamb", "adamw"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: Rules = DECAY_KERNELS
    clip: float | None = None
    schedule: Literal["steps", "cosine", "polynomial"] = "cosine"
    drops: tuple[int, ...] = ()
    warmup_epochs: int = 5
    warmup_start: float = 0.0
    label_smoothing: float = 0.0
    criterion: Callable[..., Any] = optax.softmax_cross_entropy
    mix: Mix | None = None
    pixel_augment: tuple[Augmentation, ...] = ()
    augment: tuple[Augmentation, ...] = (RandomFlip(),)
    repeats: int = 1
    ema_decay: float | None = None
    drop_path: float = 0.0
    dropout: float = 0.0
    zero_init_residual: bool = True
    batch_norm_group: int | None = 32
    train_crop: Callable[[int], ImageTransform] = RandomResizedCrop
    train_size: int = 224
    test_resize: int = 256
    test_size: int = 224

    def changed(self, **changes: Any) -> "Recipe":
        """The recipe with other fields; those that are None stay.

        The drops and the ramp scale with `epochs`, the ramp to 1 at least, and the resize before
        evaluation with `test_size`.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        if size := changes.get("test_size"):
            changes["test_resize"] = round(self.test_resize * size / self.test_size)
        if epochs := changes.get("epochs"):
            changes["drops"] = tuple(epochs * drop // self.epochs for drop in self.drops)
            ramp = epochs * self.warmup_epochs // self.epochs
            changes["warmup_epochs"] = max(ramp, min(1, self.warmup_epochs, epochs - 1))
        return dataclasses.replace(self, **changes)

    def rates(self, batch_size: int, steps_per_epoch: int) -> optax.Schedule:
        """The learning rate at each step."""
        peak = self.learning_rate * batch_size / self.batch_size
        steps, warmup = self.epochs * steps_per_epoch, self.warmup_epochs * steps_per_epoch
        if self.schedule == "steps":
            main = step_decay(peak, [drop * steps_per_epoch for drop in self.drops])
        elif self.schedule == "cosine":
            main = cosine(peak, steps, warmup)
        else:
            main = polynomial(peak, steps, 2.0, warmup)
        return ramped(main, peak, self.warmup_start * self.learning_rate, warmup)

    def make_optimizer(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """The optimizer, clipping included."""
        if self.optimizer == "lars":
            optimizer = lars(schedule, self.weight_decay, self.momentum, rules=self.decay)
        elif self.optimizer == "lamb":
            optimizer = lamb(schedule, self.weight_decay, self.decay)
        elif self.optimizer == "adamw":
            optimizer = adamw(schedule, self.weight_decay, self.decay)
        else:
            nesterov = self.optimizer == "nesterov"
            optimizer = sgd(schedule, self.momentum, self.weight_decay, nesterov, self.decay)
        return optimizer if self.clip is None else clipped(optimizer, self.clip)

    def equipped(self, model: Classifier, dtype: Any = None) -> Classifier:
        """`model` with the recipe's regularisation and groups of BatchNorm, if it has one."""
        fields: dict[str, Any] = {
            "dtype": dtype,
            "drop_path": self.drop_path,
            "zero_init_residual": self.zero_init_residual,
        }
        if model.backbone.norm is BatchNorm:
            fields["norm"] = part(BatchNorm, group=self.batch_norm_group)
        return model.clone(dropout=self.dropout, backbone=model.backbone.clone(**fields))

    def task(self, model: Classifier, normalize: Normalize = IMAGENET) -> Classify:
        """The task: classification by `model`, with the recipe's loss and augmentation."""
        return Classify(
            model,
            normalize,
            self.augment,
            self.label_smoothing,
            self.mix,
            self.pixel_augment,
            self.criterion,
        )

    def experiment(
        self,
        build: Callable[[int], Classifier],
        data: ImageData,
        dtype: Any = jnp.bfloat16,
        accumulate: int = 1,
    ) -> Experiment:
        """The training of `build(num_classes)` on `data` with the recipe's crops and repeats."""
        data = dataclasses.replace(
            data,
            train_transform=self.train_crop(self.train_size),
            eval_transform=ResizeCenterCrop(self.test_resize, self.test_size),
            repeats=self.repeats,
        )
        info = data.info()
        epoch = max(1, info.sizes.get("train", 1_281_167) // data.batch_size)
        model = self.equipped(build(info.num_classes), dtype)
        plan = Plan(
            self.epochs * epoch,
            data.seed,
            eval_every=epoch,
            save_every=max(1, epoch // 4),
            log_every=max(1, epoch // 50),
            accumulate=accumulate,
            ema_decay=self.ema_decay,
        )
        optimizer = self.make_optimizer(self.rates(data.batch_size, epoch))
        return Experiment(self.task(model), data, optimizer, plan)
