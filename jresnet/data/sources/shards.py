"""Tar files of images, read in place: shards as WebDataset writes them, or one tar for each class as ILSVRC has them."""

import dataclasses
import functools
import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jresnet.data.decoders import DecodeError
from jresnet.data.info import Info, Source
from jresnet.data.sources import folder
from jresnet.data.sources.files import (
    SPLIT_NAMES,
    FileSource,
    check_bytes,
    image_shape,
    is_folder,
    is_hidden,
    list_folder,
    shorten,
)
from jresnet.data.sources.listing import Listing, find_places
from jresnet.data.sources.tar_files import UnlabelledError
from jresnet.data.sources.tar_index import TarIndex, read_index
from jresnet.errors import UsageError
from jresnet.text import shown


class MissingError(UsageError):
    """No tars of a split."""


@dataclasses.dataclass(frozen=True)
class Shards:
    """A folder with `train-*.tar`, `NAME-train-*.tar`, `train.tar` or `train/*.tar`, and so for one of `test`, `val`, `valid`, `validation`.

    The class of an image is the number in `<key>.cls` beside `<key>.jpg`, or the folder it lies in, or, in
    `train/<class>.tar` without folders, the name of the tar. Named classes are sorted. A test split may also be a
    folder of class folders. Where the images lie is read once, and kept in `train.index.npz` in the folder while the tars
    keep their sizes and modification times.
    """

    root: Path

    @classmethod
    def lies_in(cls, root: Path) -> bool:
        """Whether the training split in root is in tars; one in class folders has precedence."""
        inside = root / "train"
        if inside.is_dir() and any(map(is_folder, list_folder(inside))):
            return False
        return bool(cls(root)._find("train"))

    def info(self) -> Info:
        """Raises UsageError for every fault of the tars' form, in train and (if there is one) in test."""
        sizes = {"train": len(self._index("train"))}
        if self._find("test") or find_places(self.root, "test"):
            sizes["test"] = len(self.open("test", encoded=True))
        classes = self._classes
        return Info(str(self.root), len(classes), classes, self._image_shape, sizes)

    def open(self, split: str, encoded: bool = False) -> Source:
        """The examples of split, by tar and within a tar in its order. Raises UsageError for faults of the form."""
        channels = self._image_shape[-1]
        assert channels is not None
        try:
            index = self._index(split)
        except (UnlabelledError, MissingError) as error:
            listing = self._folders(split, error)
            return folder.make_source(listing, self._classes, channels, encoded)
        return ShardSource(self.root, index, self._labels(index), channels, encoded)

    def _folders(self, split: str, error: UsageError) -> Listing:
        """The class folders that stand in for tars. Raises UsageError, `error` if that says more."""
        try:
            listing = folder.find_labelled(self.root, split, self._classes)
        except UsageError:
            if isinstance(error, UnlabelledError):
                raise error from None
            raise
        if listing is None:
            raise error
        return listing

    def _find(self, split: str) -> list[tuple[str, list[Path]]]:
        """The names of a split for which there are tars, with them."""
        named = []
        for name in SPLIT_NAMES.get(split, (split,)):
            pattern = glob.escape(name)
            for tars in (
                f"{pattern}-*.tar",
                f"*-{pattern}-*.tar",
                f"{pattern}.tar",
                f"{pattern}/*.tar",
            ):
                paths = [p for p in sorted(self.root.glob(tars)) if not is_hidden(p.name)]
                if paths:
                    named.append((name, paths))
                    break
        return named

    @functools.cached_property
    def _indices(self) -> dict[str, TarIndex]:
        return {}

    def _index(self, split: str) -> TarIndex:
        """The index of the first tars of the split that have classes."""
        if split not in self._indices:
            unlabelled = None
            for name, paths in self._find(split):
                try:
                    index = read_index(self.root, paths, self.root / f"{name}.index.npz")
                except UnlabelledError as error:
                    unlabelled = unlabelled or error
                    continue
                self._indices[split] = index
                break
            else:
                raise unlabelled or self._missing(split)
        return self._indices[split]

    def _missing(self, split: str) -> "MissingError":
        names = " or ".join(SPLIT_NAMES.get(split, (split,)))
        return MissingError(
            f"dataset={str(self.root)!r}: no {split} split there; expected NAME-*.tar, NAME.tar or "
            f"NAME/*.tar, or class folders in NAME, where NAME is {names}"
        )

    @functools.cached_property
    def _classes(self) -> tuple[str, ...]:
        index = self._index("train")
        return index.classes or tuple(map(str, range(int(index.label.max()) + 1)))

    def _labels(self, index: TarIndex) -> np.ndarray:
        """int32 [N] by the classes of train. Raises UsageError for one that train has not."""
        known = self._index("train").classes
        if bool(index.classes) != bool(known):
            raise UsageError(
                f"dataset: {shown(self.root / index.tars[0])} has {_kind(index.classes)}, "
                f"{shown(self.root / self._index('train').tars[0])} has {_kind(known)}; expected the same in both"
            )
        if not known:
            return index.label  # Load checks that they are within range
        numbers = {name: number for number, name in enumerate(known)}
        if strange := [name for name in index.classes if name not in numbers]:
            first = int(np.argmax(index.label == index.classes.index(strange[0])))
            raise UsageError(
                f"dataset: class {strange[0]!r} of {describe(self.root, index, first)} is not in train, "
                f"whose {len(known)} classes are {shorten(known)}"
            )
        return np.array([numbers[name] for name in index.classes], np.int32)[index.label]

    @functools.cached_property
    def _image_shape(self) -> tuple[int | None, ...]:
        index = self._index("train")
        return image_shape(ShardSource(self.root, index, index.label, 3, True))


@dataclasses.dataclass(frozen=True, eq=False)
class ShardSource(FileSource):
    """One split. Every read opens its tar: no limit on open files, nothing to share between threads and processes."""

    root: Path
    index: TarIndex
    labels: Sequence[int] | np.ndarray
    channels: int
    encoded: bool

    def describe(self, index: int) -> str:
        """The path of the tar, and after it the name in the tar."""
        return describe(self.root, self.index, index)

    def read(self, index: int) -> bytes:
        """Raises UsageError for a tar that cannot be read or has changed."""
        path, size = self.root / self.index.tars[self.index.tar[index]], int(self.index.size[index])
        try:
            check_bytes(size)
            with path.open("rb") as file:
                file.seek(int(self.index.offset[index]))
                data = file.read(size)
        except DecodeError as error:
            raise self.broken(index, error) from error
        except OSError as error:
            raise UsageError(
                f"{self.describe(index)}: cannot be read ({error.strerror})"
            ) from error
        if len(data) != size:
            raise UsageError(
                f"{self.describe(index)}: only {len(data)} of {size} bytes are there; {shown(path.name)} has changed "
                "since it was indexed"
            )
        return data


def describe(root: Path, index: TarIndex, example: int) -> str:
    """Path of the tar and name in it of one example, fit to be shown."""
    return shown(f"{root / index.tars[index.tar[example]]}/{index.name(example)}")


def _kind(classes: tuple[str, ...]) -> str:
    return f"classes by name, such as {classes[0]!r}" if classes else "classes by number (.cls)"
