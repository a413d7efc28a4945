"""Two datasets as one: trained on the first, tested on the second."""

import dataclasses

from jresnet.data.info import Dataset, Info, Source


@dataclasses.dataclass(frozen=True)
class TwoSets:
    """`train` of one dataset and `test` of another; name and classes are those of the first."""

    trained: Dataset
    tested: Dataset

    def info(self) -> Info:
        info = self.trained.info()
        sizes = {"train": info.sizes["train"], "test": self.tested.info().sizes["test"]}
        return dataclasses.replace(info, sizes=sizes)

    def open(self, split: str, encoded: bool = False) -> Source:
        """The examples of a split."""
        return (self.trained if split == "train" else self.tested).open(split, encoded)
