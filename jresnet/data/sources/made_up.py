"""Made-up examples of any kind: random arrays of the shapes and types that a transform promises."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jresnet.data.info import Dataset, Example, Info, Spec
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.sources.synthetic import Synthetic
from jresnet.data.transform import Labelled
from jresnet.data.with_boxes import FitWithBoxes


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A dataset whose examples are their own numbers, with the classes of another one."""

    described: Info
    sizes: Mapping[str, int]

    def info(self) -> Info:
        """That of the other dataset, with these sizes."""
        return dataclasses.replace(self.described, sizes=self.sizes, spec=None)

    def open(self, split: str, encoded: bool = False) -> "NumberSource":
        """The numbers of a split."""
        del encoded
        return NumberSource(f"made-up {split}", self.sizes[split])


@dataclasses.dataclass(frozen=True)
class NumberSource:
    """One split."""

    title: str
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        return {"number": index}

    def describe(self, index: int) -> str:
        """Such as "made-up train example 17"."""
        return f"{self.title} example {index}"


@dataclasses.dataclass(frozen=True)
class MadeUp:
    """Random arrays of a spec, a function of the example's number.

    Bytes are 0 to 255, other integers 0 to `classes` - 1, floats 0 to 1. A `video` is the example's
    own number: each clip is one of its own.
    """

    arrays: Spec
    classes: int

    def spec(self, info: Info) -> Spec:
        """`arrays`, whatever the dataset."""
        del info
        return self.arrays

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The arrays of one number; draws nothing from `rng`."""
        del rng
        number = example["number"]
        rng = np.random.default_rng(number)
        arrays = {n: self._array(one.shape, one.dtype, rng) for n, one in self.arrays.items()}
        return arrays | ({"video": np.array(number, np.int32)} if "video" in arrays else {})

    def _array(
        self, shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator
    ) -> np.ndarray:
        if np.issubdtype(dtype, np.integer):
            top = 256 if dtype == np.uint8 else max(1, self.classes)
            return rng.integers(0, top, shape).astype(dtype)
        return rng.random(shape).astype(dtype)


def made_up(
    info: Info, transforms: Sequence[Sequence[Any]], specs: Sequence[Sequence[Spec]], batch: int
) -> tuple[Dataset, Sequence[Any]]:
    """A dataset in the place of another one, for two batches of "train" and one of "test".

    Labelled images are small, with as many channels and classes. Objects are shapes of as many
    classes. Examples of other kinds are random arrays.

    Args:
        info: that of the other dataset.
        transforms: of "train" and of "test", each bucket's.
        specs: what these return.
        batch: rows of a batch.

    Returns:
        The dataset, and the transforms of "train" and "test" of its examples.
    """
    first = [each[0] for each in transforms]
    if all(isinstance(one, Labelled) for one in first):
        shape = (32, 32, info.image_shape[-1] or 3)
        return Synthetic(shape, info.num_classes, 2 * batch, batch), (None, None)
    if all(isinstance(one, FitWithBoxes) for one in first):
        points = specs[0][0].get("keypoints")
        names = info.class_names
        of_object = 0 if points is None else points.shape[1]
        return ShapeObjects(2 * batch, batch, names=names, points=of_object), first
    dataset = Numbers(info, {"train": 2 * batch, "test": batch})
    return dataset, [MadeUp(each[0], info.num_classes) for each in specs]
