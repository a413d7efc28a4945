"""Pictures without any label, in folders as people have them, and two that come with scikit-learn.

A folder holds a folder to train on and one to test on:

- `train`, or any name that begins with it, `DIV2K_train_HR`, `Flickr2K_HR`, `T91` or `BSD200`;
- `test` or `val`, or any name that begins with them, `DIV2K_valid_HR`, `Set5`, `Set14`, `BSD100`,
  `B100`, `Urban100` or `Manga109`.

Pictures lie in these at any depth. Benchmarks also keep reduced ones there: of a folder with `HR`,
`GTmod12` or `original` in it these alone are read, and of files `..._HR.png` and `..._LR.png` the
first. Of the copies `..._SRF_2_HR.png`, `..._SRF_3_HR.png` and so on (Huang et al., CVPR
2015) one is read: that of the smallest factor, of which least was cut off.
"""

import dataclasses
import functools
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.decoders import DecodeError, guarded, open_image
from jresnet.data.info import Dataset, Example, Info, Source
from jresnet.data.sources.files import list_folder, read_file, walk
from jresnet.data.sources.kept import Kept
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)

NAMES = {
    "train": ("train", "div2k_train_hr", "flickr2k_hr", "t91", "bsd200"),
    "test": ("test", "val", "div2k_valid_hr", "set5", "set14", "bsd100", "b100", "urban100", "manga109"),
}  # fmt: skip
FILMS = (".gif", ".webp")
LARGE = ("hr", "gtmod12", "original")
_FACTOR = re.compile(r"_SRF_(\d+)", re.IGNORECASE)
_HEAD, _TAIL = 1 << 20, 1 << 16  # bytes of a file that tell its size
_TOLD: set[Path] = set()  # films that were named in this process
_BUILT_IN = ("china", "flower")
_SIDE = 400  # pixels of the built-in pictures, from the left, that are trained on


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A folder of pictures; `test` is a folder of those to test on, instead of the one within.

    `times` has every picture of "train" so many times in a row of the split, for sets that are
    smaller than a batch.
    """

    folder: Path
    test: Path | None = None
    times: int = 1

    def info(self) -> Info:
        """Raises UsageError for a folder without pictures to train or to test on."""
        sizes = {"train": self.times * len(self._files["train"]), "test": len(self._files["test"])}
        return Info(str(self.folder), image_shape=(None, None, 3), sizes=sizes, class_of=None)

    def open(self, split: str, encoded: bool = False) -> Source:
        """The pictures of a split by their names' order, decoded and kept in memory."""
        del encoded
        times = self.times if split == "train" else 1
        return KeptPictures(PictureSource(self._files[split], times))

    @property
    def tested(self) -> str:
        """The name of the folder that is tested on, after the set's where it is only `test` or `val`."""
        test = (self.test or _split(self.folder, "test") or self.folder).resolve()
        bare = test.name.lower() in NAMES["test"][:2]
        return f"{test.parent.name}/{test.name}" if bare else test.name

    @functools.cached_property
    def _files(self) -> dict[str, tuple[Path, ...]]:
        if not self.folder.is_dir():
            raise UsageError(f"dataset={shown(self.folder)!r}: no such folder")
        train, test = _split(self.folder, "train"), self.test or _split(self.folder, "test")
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


def is_split(folder: Path) -> bool:
    """Whether a folder has a part to train on. Raises UsageError if there is no such folder."""
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    return _split(folder, "train") is not None


@dataclasses.dataclass(frozen=True)
class Unsplit:
    """A folder of pictures at any depth, of which every tenth is tested on.

    With `test_pictures`, another such folder, those are, and all of the first are trained on.
    `times` as in `Pictures`.
    """

    folder: Path
    test_pictures: Path | None = None
    times: int = 1

    def info(self) -> Info:
        """Raises UsageError for a folder of fewer than two pictures."""
        sizes = {"train": self.times * len(self._files["train"]), "test": len(self._files["test"])}
        return Info(str(self.folder), image_shape=(None, None, 3), sizes=sizes, class_of=None)

    def open(self, split: str, encoded: bool = False) -> Source:
        """The pictures of a split by their names' order, decoded and kept in memory."""
        del encoded
        return KeptPictures(
            PictureSource(self._files[split], self.times if split == "train" else 1)
        )

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


def _split(folder: Path, split: str) -> Path | None:
    names = sorted(entry.name for entry in list_folder(folder) if entry.is_dir())
    for wanted in NAMES[split]:
        for name in names:
            if name.lower() == wanted or (
                wanted in NAMES[split][:2] and name.lower().startswith(wanted)
            ):
                return folder / name
    return None


def find_pictures(folder: Path) -> list[Path]:
    """The large pictures below a folder, sorted."""
    inner = {entry.name.lower(): folder / entry.name for entry in list_folder(folder) if entry.is_dir()}  # fmt: skip
    place = next((inner[name] for name in LARGE if name in inner), folder)
    files = sorted(place / name for name in walk(place))
    large = [path for path in files if path.stem.lower().endswith("_hr")]
    chosen = large or [path for path in files if not path.stem.lower().endswith("_lr")]
    return _without_copies(chosen, place)


def _without_copies(files: list[Path], folder: Path) -> list[Path]:
    """One of the files that differ by their reduction's factor alone: that of the smallest."""
    groups: dict[str, list[tuple[int, Path]]] = {}
    for path in files:
        name = path.relative_to(folder).as_posix()
        factors = _FACTOR.findall(name)
        factor = int(factors[-1]) if factors else 0
        groups.setdefault(_FACTOR.sub("", name), []).append((factor, path))
    return sorted(min(group)[1] for group in groups.values())


@dataclasses.dataclass(frozen=True)
class PictureSource:
    """One split. An example is `image`, uint8 [H, W, 3], upright by its EXIF orientation."""

    files: tuple[Path, ...]
    times: int = 1

    def __len__(self) -> int:
        return self.times * len(self.files)

    def describe(self, index: int) -> str:
        """The file's path, fit to be shown."""
        return shown(self.files[index % len(self.files)])

    def __getitem__(self, index: int) -> Example:
        path = self.files[index % len(self.files)]
        try:
            data = read_file(path)
            example = {"image": images.decode(data)}
        except (DecodeError, OSError) as error:
            raise BrokenExampleError(f"{shown(path)}: not a readable image ({error})") from error
        if path.suffix.lower() in FILMS:
            _tell_film(path, data)
        return example

    def sizes(self) -> np.ndarray:
        """Heights and widths of upright pictures by their headers, int [examples, 2]; 0: broken."""
        with ThreadPoolExecutor(decoding_threads(0)) as threads:
            rows = list(threads.map(_size, self.files))
        return np.tile(np.array(rows, np.int64).reshape(-1, 2), (self.times, 1))


class KeptPictures(Kept):
    """Pictures of a folder, kept in memory; their sizes are known without decoding them."""

    source: PictureSource

    def sizes(self) -> np.ndarray:
        """Sizes by headers, see `PictureSource.sizes`."""
        return self.source.sizes()


def _tell_film(path: Path, data: bytes) -> None:
    """Name a file of several pictures, of which the first is taken, once."""
    with guarded(), open_image(data) as image:
        frames = getattr(image, "n_frames", 1)
    if frames > 1 and path not in _TOLD:
        _TOLD.add(path)
        logger.warning("%s: a film of %d pictures; the first one is taken", shown(path), frames)


def _size(path: Path) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - _TAIL))
            tail = file.read()
        try:
            if length > _HEAD and b"eXIf" in tail:  # a PNG may note its orientation at its end
                raise DecodeError("more is needed")
            return images.header(head)[:2]
        except DecodeError:  # such as a TIFF, whose header may be at its end
            return (0, 0) if length <= _HEAD else images.header(read_file(path))[:2]
    except (DecodeError, OSError):
        return 0, 0


@dataclasses.dataclass(frozen=True)
class SamplePictures:
    """The two photographs in scikit-learn: their left parts to train on, their right ones to test on.

    `train_size` examples are the two in turn.
    """

    train_size: int = 64

    def info(self) -> Info:
        sizes = {"train": self.train_size, "test": 4}
        return Info("sample pictures", image_shape=(None, None, 3), sizes=sizes, class_of=None)

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


def enough(pictures: Dataset, batch_size: int) -> Dataset:
    """`pictures` with so many examples to train on that a batch can be filled."""
    size = pictures.info().sizes["train"]
    if not isinstance(pictures, Pictures | Unsplit) or size >= batch_size:
        return pictures
    return dataclasses.replace(pictures, times=-(-batch_size // size))
