"""A training split with few examples of each class, to see what a little data is good for."""

import dataclasses

import numpy as np

from jresnet.data.info import Dataset, Example, Info, Source
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class PerClass:
    """`dataset` with `count` examples of each class in `split`, drawn with `seed`; other splits as they are.

    Draws are nested: with one seed, count=25 is a subset of count=100.
    """

    dataset: Dataset
    count: int
    seed: int = 0
    split: str = "train"

    def info(self) -> Info:
        """The facts about the dataset, the split's size being count for each class."""
        info = self.dataset.info()
        sizes = {**info.sizes, self.split: self.count * info.num_classes}
        return dataclasses.replace(info, sizes=sizes)

    def open(self, split: str, encoded: bool = False) -> Source:
        """Reads every label of the split. Raises UsageError if a class has fewer examples than count."""
        source = self.dataset.open(split, encoded)
        if split != self.split:
            return source
        info = self.dataset.info()
        files = self.dataset.open(split, encoded=True)  # a broken one has its label all the same
        labels = np.array([files[index]["label"] for index in range(len(files))])
        chosen = []
        for label, name in enumerate(info.class_names):
            members = np.flatnonzero(labels == label)
            if not 1 <= self.count <= len(members):
                raise UsageError(
                    f"per_class={self.count}: class {name!r} of {info.name!r} has {len(members)} examples to train on; "
                    f"take 1 to {len(members)}"
                )
            order = np.random.default_rng((self.seed, label)).permutation(members)
            chosen.append(order[: self.count])
        return Selected(source, np.sort(np.concatenate(chosen)))


@dataclasses.dataclass(frozen=True, eq=False)
class Selected:
    """Some examples of a source."""

    source: Source
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Example:
        return self.source[int(self.indices[index])]

    def describe(self, index: int) -> str:
        """The name that the source itself gives it."""
        return self.source.describe(int(self.indices[index]))
