"""Made-up images."""

import dataclasses

import numpy as np

from jresnet.data.info import Example, Info
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """Random images that are the same on every machine, for tests, smoke runs and measuring speed.

    image_shape is (height, width, channels), sizes the number of examples of each split. Every class has a
    brightness of its own, so that there is something to learn.
    """

    image_shape: tuple[int, int, int] = (32, 32, 3)
    num_classes: int = 10
    train_size: int = 512
    test_size: int = 128
    seed: int = 0

    def info(self) -> Info:
        """Names the classes by their number."""
        names = tuple(str(label) for label in range(self.num_classes))
        sizes = {"train": self.train_size, "test": self.test_size}
        return Info("synthetic", self.num_classes, names, self.image_shape, sizes)

    def open(self, split: str, encoded: bool = False) -> "SyntheticSource":
        """The images are arrays whatever encoded says: there is no file. Raises UsageError for an unknown split."""
        del encoded
        if split not in ("train", "test"):
            raise UsageError(f"split={split!r}: a synthetic dataset has only train and test")
        return SyntheticSource(self, split)


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """One split; example i is a function of (seed, split, i)."""

    dataset: Synthetic
    split: str

    def __len__(self) -> int:
        return self.dataset.info().sizes[self.split]

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(index)
        rng = np.random.default_rng((self.dataset.seed, self.split == "test", index))
        label = index % self.dataset.num_classes
        noise = rng.integers(0, 128, self.dataset.image_shape, np.uint8)
        return {
            "image": noise + np.uint8(127 * (label + 1) // self.dataset.num_classes),
            "label": label,
        }

    def describe(self, index: int) -> str:
        """Such as "synthetic train example 17"."""
        return f"synthetic {self.split} example {index}"
