"""Recipes of classified clips: published ones, and one for small clips on a small machine."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
import optax

from jresnet.data.augment.flip_and_crop import RandomFlip
from jresnet.data.clips import Clip
from jresnet.data.info import Dataset
from jresnet.data.normalisation import KINETICS, Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.moving_digits import FRAMES, SIDE, MovingDigits
from jresnet.experiment import Experiment
from jresnet.models.headed import with_backbone
from jresnet.models.heads import Classifier
from jresnet.recipes.changes import with_changes
from jresnet.tasks.base import Variables
from jresnet.tasks.classify import Augmentation
from jresnet.tasks.classify_clips import ClassifyClips, Parts
from jresnet.train.loop import Plan
from jresnet.train.optim import DECAY_ALL, DECAY_KERNELS, Rules, scheduled, sgd
from jresnet.train.schedules import cosine, ramped, ramped_cosine, step_decay

RecipeName = Literal["small", "kinetics", "ucf", "r3d_rs"]
# The frames that a net sees of a clip: all, all in a random order, or one.
Seen = Literal["ordered", "shuffled", "one"]

GREY = Normalize((0.1,), (0.2,))  # near those of the moving digits


@dataclasses.dataclass(frozen=True)
class VideoRecipe:
    """How nets for clips are trained.

    - epochs, clips: passes over the training videos, and clips of each in a pass.
    - learning_rate: the peak for `batch_size`; another batch scales it in proportion.
    - optimizer: `adamw` with half a cosine after a ramp of a tenth of the steps; or `sgd` with
      momentum 0.9, the rate a tenth at each of `drops` (epochs), or half a cosine without any.
    - warmup, warmup_rate: length of SGD's ramp in epochs, and where it starts.
    - decay: rules for the parameters that decay.
    - frames, stride, size, resize: those of `Clip`; `test_size` is that of evaluation.
    - drop_path, dropout: fields of the net.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["sgd", "adamw"] = "sgd"
    drops: tuple[int, ...] = ()
    warmup: int = 0
    warmup_rate: float = 0.0
    weight_decay: float = 1e-4
    decay: Rules = DECAY_KERNELS
    clips: int = 1
    frames: int = 16
    stride: float = 2.0
    size: int = 112
    resize: int = 128
    test_size: int | None = None
    augment: tuple[Augmentation, ...] = (RandomFlip(),)
    normalize: Normalize = KINETICS
    label_smoothing: float = 0.0
    ema_decay: float | None = None
    drop_path: float = 0.0
    dropout: float = 0.0
    dtype: Any = jnp.bfloat16
    eval_batch_size: int = 64
    pieces: int = 15

    def changed(self, **changes: Any) -> "VideoRecipe":
        """The recipe with other fields; those that are None stay.

        The rate scales with the batch, drops and ramp with the epochs, and parts of evaluation
        follow the size of those of training.
        """
        changes = {name: value for name, value in changes.items() if value is not None}
        if epochs := changes.get("epochs"):
            moved = (max(1, epochs * drop // self.epochs) for drop in self.drops)
            changes["drops"] = tuple(sorted(set(moved)))
            changes["warmup"] = epochs * self.warmup // self.epochs
        if batch_size := changes.get("batch_size"):
            scaled = self.learning_rate * batch_size / self.batch_size
            changes.setdefault("learning_rate", scaled)
        if "size" in changes:
            changes["test_size"] = None
        return with_changes(self, changes)

    def data(self, videos: Dataset, seen: Seen = "ordered", **fields: Any) -> ImageData:
        """The splits "train" and "test" of videos, or of moving digits, through `Clip`."""
        if isinstance(videos, MovingDigits):
            digits = MovingDigits(seen)
            return ImageData(digits, self.batch_size, self.eval_batch_size, fill=True, **fields)
        learnt = self.clip(seen, self.size, random=True)
        tested = self.clip(seen, self.test_size or self.size)
        return ImageData(
            videos,
            self.batch_size,
            self.eval_batch_size,
            fill=True,
            train_transform=learnt,
            eval_transform=tested,
            **fields,
        )

    def clip(self, seen: Seen, size: int, random: bool = False) -> Clip:
        """The transform of a video, by which of its frames are seen."""
        frames = 1 if seen == "one" else self.frames
        shuffled = seen == "shuffled"
        return Clip(frames, self.stride, (size, size), self.resize, random, shuffled)

    def experiment(
        self,
        net: Classifier,
        data: ImageData,
        start: Variables | None = None,
        parts: Parts = (),
        normalize: Normalize | None = None,
    ) -> Experiment:
        """The training of `net`, from `start` or fresh.

        Args:
            net: a classifier of clips.
            data: as `data` gives it.
            start: variables to start from.
            parts: questions that a class answers, as `ClassifyClips` has them.
            normalize: instead of the recipe's, such as that of the start.
        """
        model = with_backbone(net, dtype=self.dtype)
        if self.drop_path:
            model = with_backbone(model, drop_path=self.drop_path)
        model = model.clone(dropout=self.dropout or net.dropout)
        task = ClassifyClips(
            model,
            normalize or self.normalize,
            self.augment,
            self.label_smoothing,
            parts=parts,
        )
        epoch = max(1, self.clips * data.info().sizes["train"] // data.batch_size)
        steps = self.epochs * epoch
        every = max(1, steps // self.pieces)
        plan = Plan(
            steps,
            data.seed,
            eval_every=every,
            save_every=every,
            log_every=max(1, steps // 100),
            ema_decay=self.ema_decay,
        )
        return Experiment(task, data, self.make_optimizer(epoch), plan, start)

    def rates(self, epoch: int) -> optax.Schedule:
        """The learning rate at each step, with so many steps in an epoch."""
        steps, peak = self.epochs * epoch, self.learning_rate
        if self.optimizer == "adamw":
            return ramped_cosine(peak, steps)
        warmup = self.warmup * epoch
        if self.drops:
            main = step_decay(peak, [drop * epoch for drop in self.drops])
        else:
            main = cosine(peak, steps, warmup)
        return ramped(main, peak, self.warmup_rate, warmup)

    def make_optimizer(self, epoch: int) -> optax.GradientTransformation:
        """The optimizer, with so many steps in an epoch."""
        rates = self.rates(epoch)
        if self.optimizer == "adamw":
            return scheduled(optax.adamw(rates, weight_decay=self.weight_decay), rates)
        return sgd(rates, weight_decay=self.weight_decay, decay=self.decay)


RECIPES: dict[RecipeName, VideoRecipe] = {
    # Clips of moving digits, on two CPU cores.
    "small": VideoRecipe(
        4, 32, 3e-3, "adamw", weight_decay=0.05, frames=FRAMES, stride=1, size=SIDE, resize=SIDE,
        augment=(), normalize=GREY, dtype=None, eval_batch_size=256, pieces=4,
    ),
    # torchvision's: 24 clips on each of 64 GPUs.
    "kinetics": VideoRecipe(
        45, 1536, 0.64, drops=(20, 30, 40), warmup=10, warmup_rate=0.00064, decay=DECAY_ALL,
        clips=5,
    ),
    "ucf": VideoRecipe(
        60, 128, 1e-3, drops=(30, 45), weight_decay=1e-5, decay=DECAY_ALL, stride=1,
    ),
    # TensorFlow's model garden, k400_resnet3drs_50_tpu.yaml; 73,682 steps of 1024 are 350 epochs.
    "r3d_rs": VideoRecipe(
        350, 1024, 0.8, warmup=5, weight_decay=4e-5, frames=32, size=224, resize=256,
        test_size=256, label_smoothing=0.1, ema_decay=0.9999, drop_path=0.1, dropout=0.5,
    ),
}  # fmt: skip
