"""Recipes of face recognition: ArcFace's published ones, and one for few people on a small machine."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optax

from jresnet.data.alignment import Face
from jresnet.data.face_pairs import drawn_pairs, read_pairs
from jresnet.data.normalisation import Normalize
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.people import People
from jresnet.experiment import Experiment
from jresnet.models.heads.embedding import Embedder
from jresnet.recipes.changes import with_changes
from jresnet.tasks.margins import Margin, arcface
from jresnet.tasks.recognise import SHARDING, Recognise
from jresnet.tasks.verification import Pairs, similarities
from jresnet.train.loop import Plan
from jresnet.train.optim import by_path, scheduled, sgd
from jresnet.train.schedules import ramped_cosine, step_decay

RecognitionRecipeName = Literal["small", "casia", "ms1mv3"]
FIXED = r"^head/norm/scale$"  # the scale of the embedding's norm stays 1: no gradient, no decay


@dataclasses.dataclass(frozen=True)
class RecognitionRecipe:
    """How nets for faces are trained.

    - size: pictures, height and width.
    - margin: of the loss.
    - optimizer: `sgd` with momentum 0.9, the rate a tenth at each of `decays`; or `adamw` with half
      a cosine after a ramp.
    - sampled: share of the classes a step takes (Partial FC). A deviation from its paper: decay and
      momentum touch the rows that were not drawn too.
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
    weight_decay: float = 5e-4
    sampled: float = 1.0
    dropout: float = 0.0
    eval_batch_size: int = 64

    def data(self, people: People, **fields: Any) -> ImageData:
        """The splits "train" and "test" of folders of people."""
        face = Face(self.size, self.channels)
        return ImageData(
            people, self.batch_size, self.eval_batch_size, train_transform=face, eval_transform=face, **fields
        )  # fmt: skip

    def experiment(
        self, net: Embedder, data: ImageData, pairs: Pairs, groups: int = 1
    ) -> Experiment:
        """The training of `net`; `groups` of classes as `Recognise` has them."""
        pixels = Normalize((0.5,) * self.channels, (0.5,) * self.channels)
        task = Recognise(
            net,
            pixels,
            data.info().num_classes,
            self.features,
            self.margin,
            self.sampled,
            groups,
            pairs=pairs,
        )
        every = max(1, self.steps // 4)
        plan = Plan(
            self.steps,
            data.seed,
            save_every=every,
            eval_every=every,
            log_every=max(1, self.steps // 100),
        )
        return Experiment(task, data, self._optimizer(), plan, sharding=SHARDING)

    def _optimizer(self) -> optax.GradientTransformation:
        rules = ((FIXED, False), (r".*", True))
        if self.optimizer == "sgd":
            rate = step_decay(self.learning_rate, self.decays)
            return sgd(rate, 0.9, self.weight_decay, decay=rules)
        rate = ramped_cosine(self.learning_rate, self.steps)
        return scheduled(optax.adamw(rate, weight_decay=self.weight_decay, mask=_decayed), rate)

    def changed(self, **changes: Any) -> "RecognitionRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


def _decayed(params: Any) -> Any:
    return by_path(params, ((FIXED, False), (r"kernel$", True), (r".*", False)))


def pairs_of(people: People, file: Path | None, seed: int = 0) -> Pairs:
    """The pairs of the test split: those of a file, or drawn. Raises UsageError."""
    source = people.open("test", encoded=True)
    if file is not None:
        return Pairs(*read_pairs(file, source.files))
    return Pairs(*drawn_pairs(np.asarray(source.labels), seed=seed))


def pixel_similarities(data: ImageData, pairs: Pairs) -> np.ndarray:
    """Cosines of the pairs' pixels, each picture less its mean: what a net must beat."""
    rows: list[np.ndarray] = []
    for batch in data.examples("test"):
        images = batch["image"][batch["valid"] > 0].astype(np.float64)
        rows.append(images.reshape(len(images), -1))
    pixels = np.concatenate(rows)
    return similarities(pixels - pixels.mean(1, keepdims=True), pairs)


RECIPES: dict[RecognitionRecipeName, RecognitionRecipe] = {
    # 300 pictures of 30 people on two CPU cores.
    "small": RecognitionRecipe(
        300, 32, 1e-3, (56, 46), 1, 64, arcface(16.0, 0.3), "adamw", weight_decay=0.01, dropout=0.4
    ),
    # Deng et al. 2019 (arXiv:1801.07698, section 3.1). R50: LFW 99.53, CFP-FP 95.56, AgeDB 95.15 %.
    "casia": RecognitionRecipe(32_000, 512, 0.1, decays=(20_000, 28_000)),
    # The same for MS1MV2; on MS1MV3 insightface's R100 has 96.85 % TAR at FAR 1e-4 of IJB-C.
    "ms1mv3": RecognitionRecipe(180_000, 512, 0.1, decays=(100_000, 160_000)),
}
