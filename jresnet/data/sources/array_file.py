"""Image sets in one `.npz`: `train_images`, `train_labels`, and the same for other splits, as MedMNIST has them."""

import dataclasses
import functools
from pathlib import Path

import numpy as np

from jresnet.data.info import MAX_CLASSES, Example, Info
from jresnet.data.sources import zips
from jresnet.errors import UsageError
from jresnet.text import shown


@dataclasses.dataclass(frozen=True)
class NpzFile:
    """A `.npz` whose faults are told with its name."""

    path: Path

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        if not self.path.is_file():
            raise self._fault("no such file")
        try:
            return zips.array_names(self.path)
        except zips.ZipError as error:
            raise self._fault(f"not a readable .npz ({error})") from error

    def _check(self, *names: str) -> None:
        """Raise UsageError for an array that is not there."""
        for name in names:
            if name not in self._names:
                there = shown(", ".join(sorted(self._names)), 200)
                raise self._fault(f"no array {name} there, only {there or 'nothing'}")

    def _read(self, name: str) -> np.ndarray:
        try:
            return zips.read_array(self.path, name)
        except zips.ZipError as error:
            raise self._fault(f"{name} is unreadable ({error})") from error

    def _fault(self, reason: str) -> UsageError:
        return UsageError(f"dataset={str(self.path)!r}: {reason}")


@dataclasses.dataclass(frozen=True)
class ArrayFile(NpzFile):
    """`<split>_images` uint8 [N, H, W] or [N, H, W, 1 or 3] and `<split>_labels` integer [N] or [N, 1], for train and test.

    Classes are named in `class_names` if the file has that array, and by their number otherwise.
    """

    def info(self) -> Info:
        """Raises UsageError for a file that is not of this form."""
        images = self._split(self._first)[0]
        sizes = {split: len(self._split(split)[0]) for split in self._present}
        names = self._class_names
        return Info(self.path.stem, len(names), names, images.shape[1:], sizes)

    def open(self, split: str, encoded: bool = False) -> "ArraySource":
        """The images are arrays whatever encoded says. Raises UsageError for a split that is not in the file."""
        del encoded
        return ArraySource(str(self.path), split, *self._split(split))

    @property
    def _present(self) -> list[str]:
        """The splits there are. One without training images can be evaluated on."""
        return [split for split in ("train", "test") if f"{split}_images" in self._names]

    @property
    def _first(self) -> str:
        return (self._present or ["train"])[0]

    @functools.cached_property
    def _class_names(self) -> tuple[str, ...]:
        if "class_names" not in self._names:
            return tuple(map(str, range(int(self._split(self._first)[1].max()) + 1)))
        names = self._read("class_names")
        if names.dtype.kind not in "US" or names.ndim != 1 or not 1 <= len(names) <= MAX_CLASSES:
            raise self._fault(
                f"class_names is {names.dtype} {names.shape}; expected text [classes]"
            )
        if names.dtype.kind == "S":
            names = np.char.decode(names, "utf-8", "surrogateescape")
        return tuple(names.tolist())

    @functools.cached_property
    def _splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {}

    def _split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        if split not in self._splits:
            self._splits[split] = self._checked(split)
        return self._splits[split]

    def _checked(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images [N, H, W, C] and labels [N] of a split."""
        self._check(f"{split}_images", f"{split}_labels")
        # Labels first: they are small, and tell much of what is wrong.
        labels, images = self._read(f"{split}_labels"), self._read(f"{split}_images")
        if (
            images.dtype != np.uint8
            or images.ndim not in (3, 4)
            or images.shape[3:] not in ((), (1,), (3,))
            or not images.size
        ):
            raise self._fault(
                f"{split}_images is {images.dtype} {images.shape}; "
                "expected uint8 [N, H, W] or [N, H, W, C] with C 1 or 3, none of them 0"
            )
        flat = labels.reshape(-1)
        if len(flat) != len(images) or not np.issubdtype(labels.dtype, np.integer):
            raise self._fault(
                f"{split}_labels is {labels.dtype} {labels.shape}; "
                f"expected one integer for each of the {len(images)} images"
            )
        low, high = int(flat.min()), int(flat.max())
        if low < 0 or high >= MAX_CLASSES:
            raise self._fault(
                f"{split}_labels has {low if low < 0 else high}; expected 0 to {MAX_CLASSES - 1}"
            )
        return images if images.ndim == 4 else images[..., None], flat


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
    """One split: images `[N, ...]`, and a class each, `[N]`, or any number of labels, `[N, labels]`."""

    path: str
    split: str
    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        label = self.labels[index]
        return {"image": self.images[index], "label": label if label.ndim else int(label)}

    def describe(self, index: int) -> str:
        """Such as "pneumonia.npz test example 17"."""
        return f"{shown(Path(self.path).name)} {self.split} example {index}"
