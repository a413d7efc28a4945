"""Features of a dataset's images in place of the images, computed once: the data of a linear probe."""

import dataclasses
import functools
from collections.abc import Callable, Generator
from typing import Any

import jax
import numpy as np

from jresnet.data.arrays import Arrays
from jresnet.data.batches import Batches, Host
from jresnet.data.buckets import Buckets
from jresnet.data.info import Info
from jresnet.data.load import Batch
from jresnet.data.pipeline import ImageData
from jresnet.data.transform import RESERVED


@dataclasses.dataclass(frozen=True)
class FeatureData:
    """The batches of `data`, with "image" float32 [b, features]: what `extract` makes of uint8 [b, H, W, C].

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
        """Facts about the dataset of `data`."""
        return self.data.info()

    def check(self) -> None:
        """Check `data` and compute the features."""
        self.data.check()
        _ = self._standardised

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one global training batch."""
        images = self.data.example_batch
        one = jax.ShapeDtypeStruct(
            (self.data.eval_batch_size, *images["image"].shape[1:]), images["image"].dtype
        )
        width = jax.eval_shape(self.extract, one).shape[1:]
        return {
            **images,
            "image": jax.ShapeDtypeStruct((self.batch_size, *width), np.float32),
        }

    def train(self, start: int = 0, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """The examples of `ImageData.train`, in the same order where they are in one bucket."""
        load = self._standardised["train"]
        return self._batches.training(load, self.data.seed, host, start)

    def examples(self, split: str, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """Every example of "train" or "test" once and in order, like `ImageData.examples`."""
        return self._batches.evaluation(self._standardised[split], host)

    def size(self, split: str) -> int:
        """How many examples "train" or "test" holds."""
        return self.data.size(split)

    def broken(self) -> tuple[str, ...]:
        """A line about each broken file, like `ImageData.broken`."""
        return self.data.broken()

    def smoke(self) -> "FeatureData":
        """Features of a few made-up images."""
        return dataclasses.replace(self, data=self.data.smoke())

    @property
    def _batches(self) -> Batches:
        return Batches(self.batch_size, self.eval_batch_size)

    def standardised(self, images: Any) -> np.ndarray:
        """Features of other images, uint8 [b, H, W, C], by the training split's mean and deviation."""
        mean, scale = self._statistics
        return (np.asarray(self.extract(images)) - mean) * scale

    @functools.cached_property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean, and one over the deviation, of each feature of the training split."""
        features = self._raw["train"].parts[0]["image"]
        mean, std = features.mean(0), features.std(0)
        return mean, np.divide(1, std, out=np.zeros_like(std), where=std > 0)

    @functools.cached_property
    def _raw(self) -> dict[str, Arrays]:
        return {split: self._computed(split) for split in ("train", "test")}

    @functools.cached_property
    def _standardised(self) -> dict[str, Arrays]:
        mean, scale = self._statistics

        def standardised(arrays: Arrays) -> Arrays:
            (part,) = arrays.parts
            part = {**part, "image": (part["image"] - mean) * scale}
            return dataclasses.replace(arrays, parts=(part,))

        return {split: standardised(arrays) for split, arrays in self._raw.items()}

    def _computed(self, split: str) -> Arrays:
        batches = []
        for batch in self.data.examples(split):
            kept = batch["valid"] + batch["broken"] > 0  # all but padding
            features = np.asarray(self.extract(batch["image"]))
            batches.append({name: x[kept] for name, x in {**batch, "image": features}.items()})
        whole = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
        order = np.argsort(whole["index"])  # with buckets they come bucket by bucket
        whole = {name: values[order] for name, values in whole.items()}
        part = {name: values for name, values in whole.items() if name not in RESERVED}
        return Arrays((part,), Buckets.whole(len(order)), broken=whole["broken"] > 0)
