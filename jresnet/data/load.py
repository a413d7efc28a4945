"""From positions in a split to examples and batches, on the host."""

import dataclasses
from typing import Protocol

import numpy as np

from jresnet.data import images
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
    masked: bool = False

    def __call__(self, element: int, rng: np.random.Generator) -> Batch:
        """Raises UsageError, naming the example, for an unreadable image, a strange shape or label."""
        index = min(int(element), len(self.source) - 1)
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
                raise UsageError(
                    f"{self.source.describe(index)}: not a readable image ({error})"
                ) from error
        assert isinstance(image, np.ndarray)
        if image.shape != self.image_shape:
            raise UsageError(
                f"{self.source.describe(index)}: its shape is {image.shape}, others have {self.image_shape}; "
                "expected one shape, or train_transform and eval_transform"
            )
        loaded = {"image": image, "label": np.asarray(label, np.int32)}
        if self.masked:
            loaded["mask"] = np.asarray(element < len(self.source), np.float32)
        return loaded


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """A whole split in memory; maps positions [b] to a batch."""

    images: np.ndarray
    labels: np.ndarray
    masked: bool = False

    @classmethod
    def read(cls, load: Load) -> "Arrays":
        """Every example of load.source, in order. Raises UsageError as Load does."""
        size = len(load.source)
        pixels = np.empty((size, *load.image_shape), np.uint8)
        labels = np.empty(size, np.int32)
        unused = np.random.default_rng(0)  # there is no transform to draw from it
        for index in range(size):
            example = load(index, unused)
            pixels[index], labels[index] = example["image"], example["label"]
        return cls(pixels, labels)

    def __call__(self, element: np.ndarray) -> Batch:
        """Positions past the end give the last example, with mask 0."""
        index = np.minimum(element, len(self.labels) - 1)
        batch = {"image": self.images[index], "label": self.labels[index]}
        if self.masked:
            batch["mask"] = (element < len(self.labels)).astype(np.float32)
        return batch
