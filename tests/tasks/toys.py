"""Small tasks of each kind that the trainer is to carry, none of them a classifier, and their data.

See also `players`, `catch` and `identities`.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jresnet.data.augment.geometry import IGNORED, carry, chain
from jresnet.data.augment.places import Crop, Flip
from jresnet.data.info import Example, Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_set import ArraySet
from jresnet.models.block import BASIC, Block
from jresnet.tasks.base import CONSTANTS, total
from tests.data.conftest import encode
from tests.data.kinds import PaddedBoxes


def examples(batch) -> tuple[Any, Any]:
    """The count that the log and the loop check."""
    rows = next(iter(batch.values()))
    return total(jnp.ones(len(rows)), batch.get("valid"))[0], jnp.ones(())


def in_memory(splits: dict[str, dict[str, np.ndarray]]) -> ImageData:
    """Batches of named arrays that lie in memory."""
    return ImageData(ArraySet(splits), 16, 16)


# Boxes and a label map -----------------------------------------------------------------------------


def scenes(count: int, seed: int, side: int = 12, limit: int = 2) -> dict[str, np.ndarray]:
    """Images with one or two bright rectangles, their boxes, and a map of what is bright."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (count, side, side, 3), np.uint8)
    boxes = np.zeros((count, limit, 4), np.float32)
    classes = np.full((count, limit), -1, np.int32)
    labels = np.zeros((count, side, side), np.int32)
    for i in range(count):
        for row in range(rng.integers(1, limit + 1)):
            x, y = rng.integers(0, side - 4, 2)
            w, h = rng.integers(3, 6, 2)
            boxes[i, row] = x, y, min(side, x + w), min(side, y + h)
            classes[i, row] = 0
            image[i, y : y + h, x : x + w] += 150
            labels[i, y : y + h, x : x + w] = 1
    labels[:, 0, 0] = IGNORED
    return {"image": image, "map": labels, "boxes": boxes, "class": classes}


@dataclasses.dataclass(frozen=True)
class Scenes:
    """A dataset of scenes: files of image and map, and as many boxes as there are."""

    train_size: int = 64
    test_size: int = 19
    seed: int = 0

    def info(self) -> Info:
        sizes = {"train": self.train_size, "test": self.test_size}
        return Info("scenes", 1, ("bright",), (12, 12, 3), sizes, "box")

    def open(self, split: str, encoded: bool = False) -> "SceneSource":
        assert encoded
        seed = self.seed + (split == "test")
        return SceneSource(split, scenes(self.info().sizes[split], seed))


@dataclasses.dataclass(frozen=True, eq=False)
class SceneSource:
    split: str
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays["image"])

    def __getitem__(self, index: int) -> Example:
        arrays = {name: values[index] for name, values in self.arrays.items()}
        real = arrays["class"] != -1
        return {
            "image": encode(arrays["image"]),
            "map": encode(arrays["map"].astype(np.uint8)),
            "boxes": arrays["boxes"][real],
            "class": arrays["class"][real],
        }

    def describe(self, index: int) -> str:
        return f"scenes {self.split} {index}.png"


def scene_data(dataset: Scenes = Scenes(), **changes: Any) -> ImageData:
    """Scenes as batches of padded boxes and label maps."""
    padded = PaddedBoxes(12, 12, 2)
    fields = {"batch_size": 16, "eval_batch_size": 16, "threads": 2, **changes}
    return ImageData(dataset, train_transform=padded, eval_transform=padded, **fields)


class MapAndBoxes(nn.Module):
    """Logits of every pixel, and boxes in a fixed number of rows."""

    limit: int = 2

    @nn.compact
    def __call__(self, x, *, train: bool):
        side = x.shape[1]
        x = Block(BASIC, 8, name="block1")(x, train=train)
        x = Block(BASIC, 8, name="block2")(x, train=train)
        pooled = jnp.concatenate([x.mean(1).reshape(len(x), -1), x.mean(2).reshape(len(x), -1)], -1)
        boxes = nn.Dense(4 * self.limit, name="boxes")(pooled) * side
        return nn.Conv(2, (1, 1), name="map")(x), boxes.reshape(len(x), self.limit, 4)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Two losses on one net, augmented jointly; a confusion matrix, and the median error of boxes."""

    model: nn.Module = dataclasses.field(default_factory=MapAndBoxes)
    unit = "scene"

    def init(self, rng, batch):
        return dict(self.model.init(rng, batch["image"] / 255.0, train=True))

    def loss(self, variables, batch, rng):
        count, *size = batch["map"].shape
        batch = {**batch, "image": batch["image"].astype(jnp.float32)}
        batch = carry(batch, chain(rng, (Flip(), Crop(tuple(size))), count, tuple(size)))
        state = [k for k in variables if k != "params"]
        (logits, boxes), new = self.model.apply(
            variables, batch["image"] / 255.0, train=True, mutable=state
        )
        pixels, off, metrics = self._measure(logits, boxes, batch)
        return pixels + off, (dict(new), metrics)

    def _measure(self, logits, boxes, batch):
        counted = (batch["map"] != IGNORED).astype(jnp.float32)
        if "valid" in batch:
            counted = counted * batch["valid"][:, None, None]
        label = jnp.where(batch["map"] == IGNORED, 0, batch["map"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
        real = (batch["class"] != -1).astype(jnp.float32)[..., None]
        off = jnp.abs(boxes - batch["boxes"]) * real / batch["map"].shape[1]
        confusion = jnp.zeros((2, 2)).at[label, logits.argmax(-1)].add(counted)
        pair = jnp.sum(losses * counted), jnp.sum(counted)
        rows = off.sum((1, 2)) / jnp.maximum(4 * real.sum((1, 2)), 1)
        metrics = {
            "loss": pair,
            "confusion": (confusion, jnp.sum(counted)),
            "off": total(rows, batch.get("valid")),
            "examples": examples(batch),
        }
        return pair[0] / jnp.maximum(pair[1], 1), rows.mean(), metrics

    def evaluate(self, variables, batch):
        logits, boxes = self.model.apply(variables, batch["image"] / 255.0, train=False)
        return self._measure(logits, boxes, batch)[2]

    def outputs(self, variables, batch):
        _, boxes = self.model.apply(variables, batch["image"] / 255.0, train=False)
        return {
            "boxes": boxes,
            "truth": batch["boxes"],
            "class": batch["class"],
            "index": batch["index"],
        }

    def collector(self):
        return MedianOff()

    def summary(self, totals):
        confusion = np.asarray(totals["confusion"][0], np.float64)
        hit = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - hit
        numbers = {k: float(s) / float(n) for k, (s, n) in totals.items() if k in ("loss", "off")}
        return numbers | {"miou": float(np.mean(hit / np.maximum(union, 1)))}


class MedianOff:
    """The median over boxes of their largest error in pixels: no sum over batches gives it."""

    def __init__(self):
        self.off, self.index = [], []

    def add(self, outputs):
        off = np.abs(outputs["boxes"] - outputs["truth"]).max(-1)
        self.off.append(off[outputs["class"] != -1])
        self.index.append(outputs["index"])

    def result(self):
        index = np.concatenate(self.index)
        assert (index == np.arange(len(index))).all()  # every example once, in order
        return {"median_off": float(np.median(np.concatenate(self.off)))}


# A task with a teacher -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Imitate:
    """A linear map that learns another one, which the experiment gives as a constant."""

    def init(self, rng, batch):
        return {"params": {"kernel": jnp.zeros((batch["x"].shape[-1], 3))}}

    def _losses(self, variables, batch):
        teacher = variables[CONSTANTS]["kernel"]
        return jnp.square(batch["x"] @ (variables["params"]["kernel"] - teacher)).mean(-1)

    def loss(self, variables, batch, rng):
        losses = self._losses(variables, batch)
        return losses.mean(), ({}, {"loss": total(losses), "examples": examples(batch)})

    def evaluate(self, variables, batch):
        losses = self._losses(variables, batch)
        return {"loss": total(losses, batch["valid"]), "examples": examples(batch)}
