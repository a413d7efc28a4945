"""Splits in memory."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from jresnet.data.info import Dataset
from jresnet.data.load import Batch, ImageTransform, Load
from jresnet.data.sources.resolve import resolve


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """A whole split in memory; maps positions [b] to a batch.

    broken, bool [N], tells which are stand-ins for a file that could not be read; None: none. With
    as_rows a batch is {"row": int32 [b]}: the positions themselves, for who has the arrays.
    """

    images: np.ndarray
    labels: np.ndarray
    marked: bool = False
    broken: np.ndarray | None = None
    as_rows: bool = False

    @classmethod
    def read(cls, load: Load) -> "Arrays":
        """Every example of load.source, in order. Raises UsageError as Load does."""
        size = len(load.source)
        pixels = np.empty((size, *load.image_shape), np.uint8)
        labels, replaced = np.empty(size, np.int32), np.zeros(size, bool)
        unused = np.random.default_rng(0)  # there is no transform to draw from it
        for index in range(size):
            example = load(index, unused)
            pixels[index], labels[index] = example["image"], example["label"]
            replaced[index] = example["broken"][1] > 0
        return cls(pixels, labels, broken=replaced)

    def __call__(self, element: np.ndarray) -> Batch:
        """Positions past the end give the last example, with valid 0; "broken" as in `Ledger.watch`."""
        index = np.minimum(element, len(self.labels) - 1)
        if self.as_rows:
            return {"row": index.astype(np.int32)}
        batch = {"image": self.images[index], "label": self.labels[index]}
        if self.marked:
            inside = element < len(self.labels)
            lost = np.zeros_like(inside) if self.broken is None else inside & self.broken[index]
            batch["valid"] = (inside & ~lost).astype(np.float32)
            batch["broken"] = lost.astype(np.float32)
            batch["index"] = index.astype(np.int32)
        return batch

    @property
    def spans(self) -> np.ndarray:
        """The broken files as `Ledger.note` takes them, int64 [n, 2]."""
        found = np.flatnonzero(self.broken) if self.broken is not None else np.zeros(0, np.int64)
        return np.stack([found, np.ones_like(found)], axis=-1)


@functools.lru_cache(maxsize=4)
def read_split(
    dataset: str | Dataset, data_dir: Path | None, split: str, transform: ImageTransform | None
) -> Arrays:
    """A split in memory, kept for the next ImageData that reads it: a study's nets share one copy."""
    found = resolve(dataset, data_dir)
    info = found.info()
    shape = info.fixed_shape if transform is None else transform.image_shape
    assert shape is not None
    source = found.open(split, encoded=transform is not None)
    return Arrays.read(Load(source, transform, shape, info))
