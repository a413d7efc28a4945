"""Named arrays in memory as a dataset."""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from jresnet.data.info import Example, Info
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySet:
    """Arrays by name for each split, [examples, ...]: example i is row i of each.

    An experiment takes them as they are with `ImageData(ArraySet(splits), batch_size)`, or through
    a transform. `class_names` are those of whatever has a class in them.
    """

    splits: Mapping[str, Mapping[str, np.ndarray]]
    name: str = "arrays"
    class_names: tuple[str, ...] = ()

    def info(self) -> Info:
        """Raises UsageError for splits whose arrays do not agree."""
        specs = {split: self._spec(split) for split in self.splits}
        first = next(iter(specs), None)
        if first is None:
            raise UsageError(f"dataset={self.name!r}: has no splits; expected train or test")
        for split, spec in specs.items():
            if spec != specs[first]:
                raise UsageError(
                    f"dataset={self.name!r}: {split} has {_shown(spec)}; "
                    f"expected {_shown(specs[first])} as {first} has"
                )
        sizes = {split: self._size(split) for split in self.splits}
        count = len(self.class_names)
        return Info(self.name, count, self.class_names, (), sizes, None, specs[first])

    def open(self, split: str, encoded: bool = False) -> "ArraySetSource":
        """The examples of a split. Raises UsageError for one that is not there."""
        del encoded
        if split not in self.splits:
            raise UsageError(
                f"split={split!r}: dataset {self.name!r} has only {', '.join(self.splits)}"
            )
        return ArraySetSource(f"{self.name} {split}", dict(self.splits[split]), self._size(split))

    def _size(self, split: str) -> int:
        lengths = {name: len(values) for name, values in self.splits[split].items()}
        if len(set(lengths.values())) != 1:
            raise UsageError(f"dataset={self.name!r}: {split} has {lengths} examples; expected one number")  # fmt: skip
        return next(iter(lengths.values()))

    def _spec(self, split: str) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            name: jax.ShapeDtypeStruct(values.shape[1:], values.dtype)
            for name, values in self.splits[split].items()
        }


def _shown(spec: Mapping[str, jax.ShapeDtypeStruct]) -> str:
    return ", ".join(f"{name} {one.dtype} {one.shape}" for name, one in spec.items())


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySetSource:
    """One split."""

    title: str
    arrays: Mapping[str, np.ndarray]
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Example:
        return {name: values[index] for name, values in self.arrays.items()}

    def describe(self, index: int) -> str:
        """Such as "arrays train example 17"."""
        return f"{self.title} example {index}"
