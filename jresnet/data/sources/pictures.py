"""Pictures without any label, in folders as people have them; `picture_layouts` has the layouts."""

import dataclasses
import functools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.decoders import DecodeError, guarded, open_image
from jresnet.data.info import Dataset, Example, Info, Source
from jresnet.data.sources.altered_pictures import alterations, tell_alterations
from jresnet.data.sources.files import read_file
from jresnet.data.sources.kept import Kept
from jresnet.data.sources.picture_layouts import (
    NAMES,
    Reduced,
    find_pictures,
    split_of,
    tell_others,
)
from jresnet.data.sources.sample_pictures import SamplePictures
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)

FILMS = (".gif", ".webp", ".tif", ".tiff")
_HEAD, _TAIL = 1 << 20, 1 << 16  # bytes of a file that tell its size
_TOLD: set[Path] = set()  # films that were named in this process


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A folder of pictures; `test` is a folder of those to test on, instead of the one within.

    `times` has every picture of "train" so many times in a row of the split, for sets that are
    smaller than a batch. `reduced` are smaller pictures of "train", `test_reduced` of "test".
    """

    folder: Path
    test: Path | None = None
    times: int = 1
    reduced: Reduced | None = None
    test_reduced: Reduced | None = None

    def info(self) -> Info:
        """Raises UsageError for a folder without pictures to train or to test on."""
        sizes = {"train": self.times * len(self._files["train"]), "test": len(self._files["test"])}
        return Info(str(self.folder), image_shape=(None, None, 3), sizes=sizes, class_of=None)

    def open(self, split: str, encoded: bool = False) -> Source:
        """The pictures of a split by their names' order, decoded and kept in memory."""
        del encoded
        pairs = self.reduced if split == "train" else self.test_reduced
        return _opened(self._files[split], self.times if split == "train" else 1, pairs)

    @property
    def tested(self) -> str:
        """The name of the folder that is tested on, after the set's where it is only `test` or `val`."""
        test = (self.test or split_of(self.folder, "test") or self.folder).resolve()
        bare = test.name.lower() in NAMES["test"][:2]
        return f"{test.parent.name}/{test.name}" if bare else test.name

    @functools.cached_property
    def _files(self) -> dict[str, tuple[Path, ...]]:
        train, test = split_of(self.folder, "train"), self.test or split_of(self.folder, "test")
        read = tuple(each.folder for each in (self.reduced, self.test_reduced) if each)
        tell_others(self.folder, "train", read)
        if self.test is None:
            tell_others(self.folder, "test", read)
        if self.test is not None and not self.test.is_dir():
            raise UsageError(f"test_pictures={shown(self.test)!r}: no such folder")
        files = {}
        for split, place in (("train", train), ("test", test)):
            files[split] = () if place is None else tuple(find_pictures(place))
            if not files[split]:
                raise UsageError(
                    f"dataset={shown(self.folder)!r}: no pictures to {split} on; expected some in a "
                    f"folder {' or '.join(NAMES[split][:2])} in it"
                )
        return files


@dataclasses.dataclass(frozen=True)
class Unsplit:
    """A folder of pictures at any depth, of which every tenth is tested on.

    With `test_pictures`, another such folder, those are, and all of the first are trained on.
    `times` and the reduced ones are as in `Pictures`.
    """

    folder: Path
    test_pictures: Path | None = None
    times: int = 1
    reduced: Reduced | None = None
    test_reduced: Reduced | None = None

    def info(self) -> Info:
        """Raises UsageError for a folder of fewer than two pictures."""
        sizes = {"train": self.times * len(self._files["train"]), "test": len(self._files["test"])}
        return Info(str(self.folder), image_shape=(None, None, 3), sizes=sizes, class_of=None)

    def open(self, split: str, encoded: bool = False) -> Source:
        """The pictures of a split by their names' order, decoded and kept in memory."""
        del encoded
        pairs = self.reduced if split == "train" else self.test_reduced
        return _opened(self._files[split], self.times if split == "train" else 1, pairs)

    @property
    def tested(self) -> str:
        """The name of the folder that is tested on."""
        return (self.test_pictures or self.folder).resolve().name

    @functools.cached_property
    def _files(self) -> dict[str, tuple[Path, ...]]:
        files = find_pictures(self.folder) if self.folder.is_dir() else []
        if len(files) < 2:
            raise UsageError(
                f"dataset={shown(self.folder)!r}: expected two or more pictures, not {len(files)}"
            )
        if self.test_pictures is not None:
            folder = self.test_pictures
            tested = find_pictures(folder) if folder.is_dir() else []
            if not tested:
                raise UsageError(f"test_pictures={shown(folder)!r}: expected a folder of pictures")
            return {"train": tuple(files), "test": tuple(tested)}
        train = tuple(path for number, path in enumerate(files) if number % 10)
        return {"train": train, "test": tuple(files[::10])}


def _opened(files: tuple[Path, ...], times: int, pairs: Reduced | None) -> "KeptPictures":
    if pairs is None:
        return KeptPictures(PictureSource(files, times))
    return KeptPictures(PictureSource(files, times, pairs.partners(files), pairs.scale))


@dataclasses.dataclass(frozen=True)
class PictureSource:
    """One split. An example is `image`, uint8 [H, W, 3], upright by its EXIF orientation.

    With `reduced`, a file for each of `files`, it also has `reduced`, `scale` times as small.
    """

    files: tuple[Path, ...]
    times: int = 1
    reduced: tuple[Path | None, ...] = ()
    scale: int = 1

    def __len__(self) -> int:
        return self.times * len(self.files)

    def describe(self, index: int) -> str:
        """The file's path, fit to be shown."""
        return shown(self.files[index % len(self.files)])

    def __getitem__(self, index: int) -> Example:
        """Raises BrokenExampleError for what is no picture, and for a pair that is none."""
        path = self.files[index % len(self.files)]
        example: Example = {"image": _decoded(path, alone=not self.reduced)}
        if not self.reduced:
            return example
        other = self.reduced[index % len(self.files)]
        if other is None:
            raise BrokenExampleError(f"{shown(path)}: has no reduced picture: expected one")
        low, image = _decoded(other, alone=False), example["image"]
        height, width = (side // self.scale for side in image.shape[:2])
        if low.shape[:2] != (height, width):
            raise BrokenExampleError(
                f"{shown(path)}: is {image.shape[1]} x {image.shape[0]} pixels, and the reduced "
                f"{shown(other)} {low.shape[1]} x {low.shape[0]}: expected {width} x {height}"
            )
        return {**example, "reduced": low}

    def sizes(self) -> np.ndarray:
        """Heights and widths of upright pictures by their headers, int [examples, 2]; 0: broken.

        What is lost when files are read as RGB of 8 bits is told, once a set.
        """
        with ThreadPoolExecutor(decoding_threads(0)) as threads:
            facts = list(threads.map(_facts, self.files))
        rows = [size for size, _ in facts]
        tell_alterations(self.files, tuple(lost for _, lost in facts))
        return np.tile(np.array(rows, np.int64).reshape(-1, 2), (self.times, 1))


class KeptPictures(Kept):
    """Pictures of a folder, kept in memory; their sizes are known without decoding them."""

    source: PictureSource

    def sizes(self) -> np.ndarray:
        """Sizes by headers, see `PictureSource.sizes`."""
        return self.source.sizes()


def _decoded(path: Path, alone: bool = True) -> np.ndarray:
    """The pixels of a file; one of several pictures is told. Raises BrokenExampleError.

    Of a pair, not `alone`, none is read that would be stretched by its own range.
    """
    try:
        data = read_file(path)
        if not alone and "range" in alterations(data):
            raise DecodeError("32 bits or fractions: expected 8 or 16 bits of a pair")
        pixels = images.decode(data, full_range=True)
    except (DecodeError, OSError) as error:
        raise BrokenExampleError(f"{shown(path)}: not a readable image ({error})") from error
    if path.suffix.lower() in FILMS:
        _tell_film(path, data)
    return pixels


def _tell_film(path: Path, data: bytes) -> None:
    """Name a file of several pictures, of which the first is taken, once."""
    with guarded(), open_image(data) as image:
        frames = getattr(image, "n_frames", 1)
    if frames > 1 and path not in _TOLD:
        _TOLD.add(path)
        logger.warning("%s: a film of %d pictures; the first one is taken", shown(path), frames)


def _facts(path: Path) -> tuple[tuple[int, int], frozenset[str]]:
    """Height and width of a file by its header, 0 if it is broken, and what reading it loses."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _TAIL))
            tail = file.read()
        try:
            if length > _HEAD and b"eXIf" in tail:  # a PNG may note its orientation at its end
                raise DecodeError("more is needed")
            return images.header(head)[:2], alterations(head)
        except DecodeError:  # such as a TIFF, whose header may be at its end
            if length <= _HEAD:
                return (0, 0), frozenset()
            whole = read_file(path)
            return images.header(whole)[:2], alterations(whole)
    except (DecodeError, OSError):
        return (0, 0), frozenset()


def enough(pictures: Dataset, batch_size: int) -> Dataset:
    """`pictures` with so many examples to train on that a batch can be filled."""
    size = pictures.info().sizes["train"]
    if not isinstance(pictures, Pictures | Unsplit) or size >= batch_size:
        return pictures
    return dataclasses.replace(pictures, times=-(-batch_size // size))


def chosen_pictures(
    dataset: Path | None,
    test_pictures: Path | None,
    reduced: Reduced | None = None,
    test_reduced: Reduced | None = None,
) -> Pictures | Unsplit | SamplePictures:
    """Pictures to train on and to test on: of a folder, or two photographs without one.

    A folder without a part to train on is split, or all of it trained on where there are
    `test_pictures`; what is split from it has its reduced pictures too. Raises UsageError.
    """
    fields = {"test_pictures": test_pictures, "reduced": reduced, "test_reduced": test_reduced}
    for name, value in fields.items():
        if dataset is None and value is not None:
            place = value.folder if isinstance(value, Reduced) else value
            raise UsageError(f"{name}={place}: expected dataset too")
    if dataset is None:
        return SamplePictures()
    if split_of(dataset, "train") is None:
        both = test_reduced or (reduced if test_pictures is None else None)
        return Unsplit(dataset, test_pictures, reduced=reduced, test_reduced=both)
    return Pictures(dataset, test_pictures, reduced=reduced, test_reduced=test_reduced)
