"""Image sets in one `.npz`: `train_images`, `train_labels`, and the same for other splits, as MedMNIST has them."""

import dataclasses
import functools
import zipfile
from pathlib import Path

import numpy as np

from jresnet.data.info import Example, Info
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ArrayFile:
    """`<split>_images` uint8 [N, H, W] or [N, H, W, C] and `<split>_labels` integer [N] or [N, 1], for train and test.

    Classes are named in `class_names` if the file has that array, and by their number otherwise.
    """

    path: Path

    def info(self) -> Info:
        """Raises UsageError for a file that is not of this form."""
        images = self._split("train")[0]
        sizes = {split: len(self._split(split)[0]) for split in ("train", "test")}
        names = self._class_names
        return Info(self.path.stem, len(names), names, images.shape[1:], sizes)

    def open(self, split: str, encoded: bool = False) -> "ArraySource":
        """The images are arrays whatever encoded says. Raises UsageError for a split that is not in the file."""
        del encoded
        return ArraySource(str(self.path), split, *self._split(split))

    @functools.cached_property
    def _class_names(self) -> tuple[str, ...]:
        if "class_names" in self._names:
            return tuple(map(str, self._read("class_names")))
        return tuple(map(str, range(int(self._split("train")[1].max()) + 1)))

    @functools.cached_property
    def _names(self) -> tuple[str, ...]:
        with self._opened() as file:
            return tuple(file)

    @functools.cached_property
    def _splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return {}

    def _split(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        if split not in self._splits:
            self._splits[split] = self._checked(split)
        return self._splits[split]

    def _checked(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        for name in (f"{split}_images", f"{split}_labels"):
            if name not in self._names:
                raise UsageError(
                    f"dataset={str(self.path)!r}: no array {name} there, only {', '.join(sorted(self._names))}"
                )
        images, labels = self._read(f"{split}_images"), self._read(f"{split}_labels")
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
            raise UsageError(
                f"dataset={str(self.path)!r}: {split}_images is {images.dtype} {images.shape}; "
                "expected uint8 [N, H, W] or [N, H, W, C]"
            )
        flat = labels.reshape(-1)
        if len(flat) != len(images) or not np.issubdtype(labels.dtype, np.integer):
            raise UsageError(
                f"dataset={str(self.path)!r}: {split}_labels is {labels.dtype} {labels.shape}; "
                f"expected one integer for each of the {len(images)} images"
            )
        return images if images.ndim == 4 else images[..., None], flat

    def _read(self, name: str) -> np.ndarray:
        with self._opened() as file:
            try:
                return file[name]
            except (ValueError, OSError, zipfile.BadZipFile) as error:
                raise UsageError(
                    f"dataset={str(self.path)!r}: {name} is unreadable ({error})"
                ) from error

    def _opened(self) -> "np.lib.npyio.NpzFile":
        try:
            return np.load(self.path)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"dataset={str(self.path)!r}: not a readable .npz ({error})"
            ) from error


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySource:
    """One split."""

    path: str
    split: str
    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        return {"image": self.images[index], "label": int(self.labels[index])}

    def describe(self, index: int) -> str:
        """Such as "pneumonia.npz test example 17"."""
        return f"{Path(self.path).name} {self.split} example {index}"
