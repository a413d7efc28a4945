"""Two photographs that come with scikit-learn, as a set of pictures without labels."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from jresnet.data import images
from jresnet.data.info import Example, Info

_BUILT_IN = ("china", "flower")
_SIDE = 400  # pixels of the built-in pictures, from the left, that are trained on


@dataclasses.dataclass(frozen=True)
class SamplePictures:
    """The two photographs in scikit-learn: their left parts to train on, their right ones to test on.

    `train_size` examples are the two in turn.
    """

    train_size: int = 64

    def info(self) -> Info:
        sizes = {"train": self.train_size, "test": 4}
        return Info("sample pictures", image_shape=(None, None, 3), sizes=sizes, class_of=None)

    @property
    def tested(self) -> str:
        """The name of what is tested on."""
        return self.info().name

    def open(self, split: str, encoded: bool = False) -> "SampleSource":
        """The examples of "train" or "test"; they are never encoded."""
        del encoded
        return SampleSource(split, self.info().sizes[split])


@dataclasses.dataclass(frozen=True)
class SampleSource:
    """One split."""

    split: str
    size: int

    def __len__(self) -> int:
        return self.size

    def describe(self, index: int) -> str:
        """Such as "flower test 3"."""
        return f"{_BUILT_IN[index % 2]} {self.split} {index}"

    def __getitem__(self, index: int) -> Example:
        image = _built_in(_BUILT_IN[index % 2])
        if self.split == "train":
            return {"image": image[:, :_SIDE]}
        half = len(image) // 2
        rows = slice(0, half) if index < 2 else slice(half, None)
        return {"image": image[rows, _SIDE:]}


@functools.cache
def _built_in(name: str) -> np.ndarray:
    from sklearn import datasets  # slow to import

    folder = Path(datasets.__file__).parent / "images"
    return images.decode((folder / f"{name}.jpg").read_bytes())
