"""A task that is no classifier, with data that is made: boxes and a map, predicted and shown."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax

from jresnet.data import images
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment
from jresnet.report.colours import BLUE, ORANGE, rgb
from jresnet.report.drawing import as_rgb, side_by_side
from jresnet.tasks.case import Column, Picture, Prediction
from jresnet.train.loop import Plan
from tests.data.conftest import encode
from tests.data.kinds import PaddedBoxes
from tests.tasks import toys


@dataclasses.dataclass(frozen=True)
class Scenes:
    """Made-up scenes, which a description is enough to make again."""

    seed: int = 0
    train_size: int = 64
    test_size: int = 19
    batch_size: int = 16
    eval_batch_size: int = 8

    @property
    def _data(self):
        dataset = toys.Scenes(self.train_size, self.test_size, self.seed)
        sizes = {"batch_size": self.batch_size, "eval_batch_size": self.eval_batch_size}
        return toys.scene_data(dataset, seed=self.seed, **sizes)

    def __getattr__(self, name):
        if name not in ("check", "example_batch", "train", "examples", "size", "broken"):
            raise AttributeError(name)
        return getattr(self._data, name)


@dataclasses.dataclass(frozen=True)
class PredictedScene(toys.Scene):
    """A scene's box of the first row and its map, told and shown."""

    def unlabelled(self, file):
        return {"image": file, "boxes": np.zeros((0, 4), np.float32), "class": np.zeros(0, int)}

    def predict(self, variables, batch):
        logits, boxes = self.model.apply(variables, batch["image"] / 255.0, train=False)
        return {"boxes": boxes, "map": logits.argmax(-1).astype(jnp.uint8)}

    def columns(self, classes):
        return Column("box", ("100.0 100.0 100.0 100.0",)), Column("bright", right=True)

    def present(self, results, case, draw):
        corners = results["boxes"].reshape(-1, 2, 2)
        boxes = case.to_original(corners).reshape(-1, 4)
        labels = case.map_to_original(results["map"], outside=toys.IGNORED)
        share = float((labels == 1).mean())
        rows = [(" ".join(f"{side:.1f}" for side in box), f"{share:.3f}") for box in boxes]
        drawing = painted(case.picture(), labels, BLUE) if draw else None
        return Prediction(
            rows, {"boxes": boxes.tolist()}, drawing, {"map": labels.astype(np.uint8)}
        )

    def legend(self, classes):
        return (ORANGE, "truth"), (BLUE, "prediction")

    def show(self, results, case):
        image = case.picture()
        truth = painted(image, case.arrays["map"], ORANGE)
        pictures = side_by_side([image, truth, painted(image, results["map"], BLUE)])
        return Picture(pictures, f"{(results['map'] == 1).sum()} pixels bright")

    def scores(self, variables, batch):
        right = self.predict(variables, batch)["map"] == batch["map"]
        return right.mean((1, 2))


@dataclasses.dataclass(frozen=True)
class Placed(PaddedBoxes):
    """The top left part of a picture, which may have no map."""

    def place(self, height, width):
        return np.eye(2, 3)

    def __call__(self, example, rng):
        empty = np.full(images.header(example["image"])[:2], 255, np.uint8)
        return super().__call__({"map": encode(empty), **example}, rng)


def painted(picture, labels, colour):
    """The picture with the pixels of class 1 half in `colour`."""
    picture = as_rgb(picture).copy()
    picture[labels == 1] = picture[labels == 1] // 2 + np.array(rgb(colour), np.uint8) // 2
    return picture


def scene(steps: int = 40, seed: int = 0) -> Experiment:
    """Scenes, learnt."""
    plan = Plan(steps, eval_every=steps // 2, log_every=10)
    return Experiment(PredictedScene(), Scenes(seed), optax.adam(1e-2), plan)


def scene_files(steps: int = 2) -> Experiment:
    """Scenes as files with boxes and maps, through a transform of whole examples."""
    padded = Placed(12, 12, 2)
    data = ImageData(toys.Scenes(), 16, 16, train_transform=padded, eval_transform=padded)
    return Experiment(PredictedScene(), data, optax.adam(1e-2), Plan(steps))
