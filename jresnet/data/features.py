"""Features of a dataset's images in place of the images, computed once: the data of a linear probe."""

import dataclasses
import functools
from collections.abc import Callable, Generator
from typing import Any

import jax
import numpy as np

from jresnet.data.arrays import Arrays
from jresnet.data.batches import Batches, Host
from jresnet.data.info import Info
from jresnet.data.load import Batch
from jresnet.data.pipeline import ImageData


@dataclasses.dataclass(frozen=True)
class FeatureData:
    """Batches as those of `data`, with "image" float32 [b, features]: what `extract` makes of uint8 [b, H, W, C].

    Every image goes through the evaluation transform and `extract` once, on every host. Features are
    standardised by their mean and deviation over the training split, so that one learning rate serves any net;
    those that never change become 0.
    """

    data: ImageData
    extract: Callable[[Any], jax.Array]

    @property
    def batch_size(self) -> int:
        return self.data.batch_size

    @property
    def eval_batch_size(self) -> int:
        return self.data.eval_batch_size

    def info(self) -> Info:
        """As that of `data`."""
        return self.data.info()

    def check(self) -> None:
        """As that of `data`; computes the features."""
        self.data.check()
        _ = self._standardised

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one global training batch."""
        images = self.data.example_batch
        one = jax.ShapeDtypeStruct(
            (self.data.eval_batch_size, *images["image"].shape[1:]), np.uint8
        )
        width = jax.eval_shape(self.extract, one).shape[1:]
        return {
            **images,
            "image": jax.ShapeDtypeStruct((self.batch_size, *width), np.float32),
        }

    def train(self, start: int = 0, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """As `ImageData.train`: the same examples in the same order."""
        load = self._standardised["train"]
        return self._batches.training(load, len(load.labels), self.data.seed, host, start)

    def examples(self, split: str, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """As `ImageData.examples`."""
        load = self._standardised[split]
        return self._batches.evaluation(load, len(load.labels), host)

    def size(self, split: str) -> int:
        """How many examples "train" or "test" holds."""
        return self.data.size(split)

    def broken(self) -> tuple[str, ...]:
        """As `ImageData.broken`."""
        return self.data.broken()

    def smoke(self) -> "FeatureData":
        """Features of a few made-up images."""
        return dataclasses.replace(self, data=self.data.smoke())

    @property
    def _batches(self) -> Batches:
        return Batches(self.batch_size, self.eval_batch_size)

    @functools.cached_property
    def _standardised(self) -> dict[str, Arrays]:
        raw = {split: self._computed(split) for split in ("train", "test")}
        mean, std = raw["train"].images.mean(0), raw["train"].images.std(0)
        scale = np.divide(1, std, out=np.zeros_like(std), where=std > 0)
        return {
            split: dataclasses.replace(arrays, images=(arrays.images - mean) * scale)
            for split, arrays in raw.items()
        }

    def _computed(self, split: str) -> Arrays:
        features, labels, broken = [], [], []
        for batch in self.data.examples(split):
            kept = batch["valid"] + batch["broken"] > 0  # all but padding
            features.append(np.asarray(self.extract(batch["image"]))[kept])
            labels.append(batch["label"][kept])
            broken.append(batch["broken"][kept] > 0)
        return Arrays(
            np.concatenate(features), np.concatenate(labels), broken=np.concatenate(broken)
        )
