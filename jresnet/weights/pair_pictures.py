"""The pictures of InsightFace's `.bin` files as a dataset that nets are tested on."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jresnet.data.decoders import DecodeError
from jresnet.data.info import Info
from jresnet.data.sources.files import FileSource, image_shape
from jresnet.errors import UsageError
from jresnet.text import shown
from jresnet.weights.pair_file import PairFile, read_pair_file

NOBODY = -1  # label of a picture: the files do not say whom they show


@dataclasses.dataclass(frozen=True)
class PairPictures:
    """The pictures of one or more files, one after the other, as "test"; there is no "train"."""

    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        # A run's record has them as text.
        object.__setattr__(self, "files", tuple(map(Path, self.files)))

    def info(self) -> Info:
        """Raises UsageError for files that cannot be read, and for two of one name."""
        source = self.open("test", encoded=True)
        names = ", ".join(path.name for path in self.files)
        return Info(names, image_shape=image_shape(source), sizes={"test": len(source)})

    def open(self, split: str, encoded: bool = False) -> "PairSource":
        """The pictures of "test", two for each pair."""
        if split != "test":
            raise UsageError(f"split={split!r}: expected 'test', files of pairs have no other")
        names = [path.stem for path in self.files for _ in self._read[path].pictures]
        numbers = [n for path in self.files for n in range(len(self._read[path].pictures))]
        pictures = [picture for path in self.files for picture in self._read[path].pictures]
        return PairSource(names, numbers, pictures, np.full(len(pictures), NOBODY), 3, encoded)

    def pairs(self) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """`left`, `right`, `same`, `fold` of each file's pairs, by its name without `.bin`."""
        pairs, start = {}, 0
        for path in self.files:
            file = self._read[path]
            left = start + 2 * np.arange(len(file.same))
            pairs[path.stem] = (left, left + 1, file.same, file.fold)
            start += len(file.pictures)
        return pairs

    @functools.cached_property
    def _read(self) -> dict[Path, PairFile]:
        stems = [path.stem for path in self.files]
        if twice := [stem for stem in stems if stems.count(stem) > 1]:
            raise UsageError(f"pairs={shown(twice[0])}.bin: expected files of different names")
        return {path: read_pair_file(path) for path in self.files}

    def __getstate__(self) -> dict[str, object]:
        return {"files": self.files}


@dataclasses.dataclass(frozen=True)
class PairSource(FileSource):
    """One or more files' pictures."""

    names: Sequence[str]
    numbers: Sequence[int]
    pictures: Sequence[bytes]
    labels: Sequence[int] | np.ndarray
    channels: int
    encoded: bool

    def describe(self, index: int) -> str:
        """Such as "lfw pair 17 left"."""
        number = self.numbers[index]
        return f"{self.names[index]} pair {number // 2 + 1} {'right' if number % 2 else 'left'}"

    def read(self, index: int) -> bytes:
        """The bytes of a picture. Raises BrokenExampleError for an empty one."""
        if not self.pictures[index]:
            raise self.broken(index, DecodeError("empty"))
        return self.pictures[index]
