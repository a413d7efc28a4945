"""From positions in a split to examples and batches, on the host."""

import dataclasses
from typing import Protocol

import numpy as np

from jresnet.data import broken, images
from jresnet.data.info import Info, Source
from jresnet.errors import UsageError

Batch = dict[str, np.ndarray]


class ImageTransform(Protocol):
    """What happens to one image on the host, such as `imagenet.RandomResizedCrop`. Must pickle."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of every image it returns."""
        ...

    def __call__(self, image: np.ndarray | bytes, rng: np.random.Generator) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Load:
    """From a position in the split to an example; positions past its end are padding."""

    source: Source
    transform: ImageTransform | None
    image_shape: tuple[int, ...]
    info: Info
    marked: bool = False

    def __call__(self, element: int, rng: np.random.Generator) -> Batch:
        """One example, and "broken" int64 [2]: its position, and how many files are broken in a row from there on.

        The next readable example stands in for them, with valid 0. Raises UsageError, naming the example, for a
        strange shape or label, for a file that cannot be read, and for more broken ones than a set may have.
        """
        size = len(self.source)
        first = min(int(element), size - 1)
        inside = element < size
        for skipped in range(size):
            try:
                loaded = self._read((first + skipped) % size, rng)
            except broken.BrokenImageError as error:
                broken.check(self.info.name, skipped + 1, size, str(error))
                continue
            loaded["broken"] = np.asarray((first, skipped if inside else 0), np.int64)
            if self.marked:
                loaded["valid"] = np.asarray(inside and not skipped, np.float32)
                loaded["index"] = np.asarray(first, np.int32)
            return loaded
        raise UsageError(f"dataset={self.info.name!r}: not one of {size} files is readable")

    def fault(self, index: int) -> str:
        """What is wrong with a broken file, with its name, in one line."""
        try:
            self._read(index, np.random.default_rng(0))
        except broken.BrokenImageError as error:
            return " ".join(str(error).split())
        # Whether a file breaks may depend on the crop, since that decides how it is decoded.
        return f"{self.source.describe(index)}: not a readable image (at times)"

    def _read(self, index: int, rng: np.random.Generator) -> Batch:
        example = self.source[index]
        image, label = example["image"], example["label"]
        if not 0 <= label < self.info.num_classes:
            raise UsageError(
                f"label={label} of {self.source.describe(index)}: expected 0 to {self.info.num_classes - 1}, "
                f"{self.info.name!r} has {self.info.num_classes} classes"
            )
        if self.transform is not None:
            try:
                image = self.transform(image, rng)
            except images.DecodeError as error:
                raise broken.BrokenImageError(
                    f"{self.source.describe(index)}: not a readable image ({error})"
                ) from error
        assert isinstance(image, np.ndarray)
        if image.shape != self.image_shape:
            raise UsageError(
                f"{self.source.describe(index)}: its shape is {image.shape}, others have {self.image_shape}; "
                "expected one shape, or train_transform and eval_transform"
            )
        return {"image": image, "label": np.asarray(label, np.int32)}
