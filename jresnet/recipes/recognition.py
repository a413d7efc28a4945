"""Recipes of face recognition: ArcFace's published ones, and one for few people on a small machine."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optax

from jresnet.data.alignment import Face
from jresnet.data.augment.colour import ColourJitter
from jresnet.data.augment.flip_and_crop import RandomCrop
from jresnet.data.augment.geometry import Place
from jresnet.data.augment.places import Rotate, Scale
from jresnet.data.augment.windows import RandomErasing
from jresnet.data.face_pairs import drawn_pairs, read_pairs
from jresnet.data.info import Dataset
from jresnet.data.normalisation import Normalize, OfEachPicture
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads.embedding import Embedder
from jresnet.recipes.changes import with_changes
from jresnet.tasks.base import Variables
from jresnet.tasks.margins import Margin, arcface
from jresnet.tasks.recognise import SHARDING, Recognise
from jresnet.tasks.verification import Pairs
from jresnet.text import shown
from jresnet.train.loop import Plan
from jresnet.train.optim import by_path, scheduled, sgd
from jresnet.train.schedules import polynomial, ramped_cosine, step_decay

RecognitionRecipeName = Literal["small", "casia", "ms1mv2", "ms1mv3"]
POWER = 2.0  # of the polynomial that MS1MV3's rate falls by; from memory
FIXED = r"^head/norm/scale$"  # the scale of the embedding's norm stays 1: no gradient, no decay


@dataclasses.dataclass(frozen=True)
class RecognitionRecipe:
    """How nets for faces are trained.

    - size: pictures, height and width.
    - margin: of the loss.
    - optimizer: `sgd` with momentum 0.9, the rate a tenth at each of `decays`; or `adamw` with half
      a cosine after a ramp.
    - power: SGD's rate falls to 0 at the end, as this power of the share of steps that are left, in
      the place of `decays`; None for those.
    - sampled: share of the classes a step takes (Partial FC). A deviation from its paper: decay and
      momentum touch the rows that were not drawn too.
    - zoom, degrees, shift, light: largest random change in training of size (a share), angle, place
      (pixels), brightness and contrast (a share); 0 for none. Half of the pictures are mirrored.
    - erased: largest share of a picture that noise covers, in half of them (arXiv:1708.04896).
    - ema_decay: of the moving average of the weights that is evaluated; None for none.
    - standardised: whether each picture is brought to one mean and deviation; else pixels are in
      [-1, 1].
    - flip_test: whether an embedding in evaluation is the sum of those of the picture and of its
      mirror image.
    - in_memory: whether the set is held in memory, prepared; for small ones.
    """

    steps: int
    batch_size: int
    learning_rate: float
    size: tuple[int, int] = (112, 112)
    channels: int = 3
    features: int = 512
    margin: Margin = dataclasses.field(default_factory=arcface)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    decays: tuple[int, ...] = ()
    power: float | None = None
    weight_decay: float = 5e-4
    sampled: float = 1.0
    dropout: float = 0.0
    zoom: float = 0.0
    degrees: float = 0.0
    shift: int = 0
    light: float = 0.0
    erased: float = 0.0
    ema_decay: float | None = None
    standardised: bool = False
    in_memory: bool = False
    flip_test: bool = True
    eval_batch_size: int = 64

    def data(self, faces: Dataset, **fields: Any) -> ImageData:
        """The splits "train" and "test" of a set of faces; evaluation batches are filled up."""
        face = Face(self.size, self.channels)
        return ImageData(
            faces,
            self.batch_size,
            self.eval_batch_size,
            train_transform=face,
            eval_transform=face,
            transform_once=self.in_memory,
            fill=True,
            **fields,
        )

    def experiment(
        self,
        net: Embedder,
        data: ImageData,
        pairs: Pairs | None,
        groups: int = 1,
        further: Mapping[str, Pairs] | None = None,
        gallery: int = 0,
        start: Variables | None = None,
    ) -> Experiment:
        """The training of `net`.

        Args:
            net: for pictures of `size`, its embeddings of `features` numbers.
            data: as `data` gives it.
            pairs: of its test split.
            groups: of classes, as `Recognise` has them.
            further: more sets of pairs of the test split.
            gallery: pictures a test person in the gallery; 0 for no closed-set identification.
            start: variables to start from; the class matrix starts fresh.

        The embeddings of the test split stay in the run's folder. Raises UsageError for more groups
        than classes.
        """
        classes = data.info().num_classes
        if not 1 <= groups <= classes:
            raise UsageError(f"groups={groups}: expected 1 to {classes}, the people to train on")
        task = Recognise(
            net,
            OfEachPicture()
            if self.standardised
            else Normalize((0.5,) * self.channels, (0.5,) * self.channels),
            classes,
            self.features,
            self.margin,
            self.sampled,
            groups,
            flip_test=self.flip_test,
            places=self._places(),
            pixel_augment=self._pixel_augment(),
            augment=(RandomErasing(0.5, (0.02, self.erased)),) if self.erased else (),
            pairs=None if pairs is None else pairs.listed(),
            further={name: each.listed() for name, each in (further or {}).items()},
            gallery=gallery,
        )
        every = max(1, self.steps // 4)
        plan = Plan(
            self.steps,
            data.seed,
            save_every=every,
            eval_every=every,
            log_every=max(1, self.steps // 100),
            ema_decay=self.ema_decay,
        )
        return Experiment(
            task, data, self._optimizer(), plan, start, keep_outputs=("test",), sharding=SHARDING
        )

    def _places(self) -> tuple[Place, ...]:
        zoom = (Scale(1 / (1 + self.zoom), 1 + self.zoom),) if self.zoom else ()
        return (*zoom, *((Rotate(self.degrees),) if self.degrees else ()))

    def _pixel_augment(self) -> tuple[Any, ...]:
        light = (ColourJitter(self.light, self.light, 0.0),) if self.light else ()
        return (*light, *((RandomCrop(self.shift, "reflect"),) if self.shift else ()))

    def rates(self) -> optax.Schedule:
        """The learning rate at each step."""
        if self.optimizer == "adamw":
            return ramped_cosine(self.learning_rate, self.steps)
        if self.power is not None:
            return polynomial(self.learning_rate, self.steps, self.power)
        return step_decay(self.learning_rate, self.decays)

    def _optimizer(self) -> optax.GradientTransformation:
        rules = ((FIXED, False), (r".*", True))
        rate = self.rates()
        if self.optimizer == "sgd":
            return sgd(rate, 0.9, self.weight_decay, decay=rules)
        return scheduled(optax.adamw(rate, weight_decay=self.weight_decay, mask=_decayed), rate)

    def changed(self, **changes: Any) -> "RecognitionRecipe":
        """The recipe with other fields; those that are None stay. Decays move with the steps."""
        if steps := changes.get("steps"):
            moved = (max(1, round(decay * steps / self.steps)) for decay in self.decays)
            changes.setdefault("decays", tuple(moved))
        return with_changes(self, changes)


def _decayed(params: Any) -> Any:
    return by_path(params, ((FIXED, False), (r"kernel$", True), (r".*", False)))


def pairs_of(faces: Dataset, file: Path | None, seed: int = 0) -> Pairs:
    """The pairs of the test split: those of a file, or drawn. Raises UsageError."""
    source: Any = faces.open("test", encoded=True)
    if file is None:
        return Pairs(*drawn_pairs(np.asarray(source.labels), seed=seed))
    files = getattr(source, "files", None)
    if files is None:
        raise UsageError(
            f"pairs={shown(file)}: expected a folder of people to test on, for its names"
        )
    return Pairs(*read_pairs(file, files))


RECIPES: dict[RecognitionRecipeName, RecognitionRecipe] = {
    # 300 pictures of 30 people on two CPU cores.
    "small": RecognitionRecipe(
        600,
        64,
        2e-3,
        (28, 23),
        1,
        64,
        arcface(16.0, 0.3),
        "adamw",
        weight_decay=0.05,
        dropout=0.4,
        zoom=0.1,
        degrees=8.0,
        shift=2,
        ema_decay=0.97,
        standardised=True,
        in_memory=True,
    ),
    # Deng et al. 2019 (arXiv:1801.07698, section 3.1). R50: LFW 99.53, CFP-FP 95.56, AgeDB 95.15 %.
    "casia": RecognitionRecipe(32_000, 512, 0.1, decays=(20_000, 28_000)),
    # The same for MS1MV2 (the paper's section 3.1).
    "ms1mv2": RecognitionRecipe(180_000, 512, 0.1, decays=(100_000, 160_000)),
    # insightface, arcface_torch/configs/ms1mv3_r100.py: 128 faces on each of 8 GPUs, 25 epochs of
    # 5,179,510 faces. Its R100 has 96.85 % TAR at FAR 1e-4 of IJB-C.
    "ms1mv3": RecognitionRecipe(25 * (5_179_510 // 1024), 1024, 0.2, power=POWER),
}
