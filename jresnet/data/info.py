"""What a dataset is and what one split of it gives: the types every kind of source shares."""

import dataclasses
from collections.abc import Mapping
from typing import Protocol, TypedDict

import numpy as np

# More than any set of images has; a label beyond is damage, and as many names would fill the memory.
MAX_CLASSES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Info:
    """What is known of a dataset without reading its images.

    image_shape is (height, width, channels), with None where it differs from image to image.
    sizes counts the examples of "train" and "test"; a split that is not on this machine is absent.
    """

    name: str
    num_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int | None, ...]
    sizes: Mapping[str, int]

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """image_shape when every image has it, otherwise None."""
        shape = tuple(size for size in self.image_shape if size is not None)
        return shape if len(shape) == len(self.image_shape) else None


class Example(TypedDict):
    """One image, uint8 [H, W, C] or the bytes of its file, and its class."""

    image: np.ndarray | bytes
    label: int


class Source(Protocol):
    """Random access to the examples of one split. Pickles, since Grain's workers are other processes."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...

    def describe(self, index: int) -> str:
        """What an error message calls this example, such as the name of its file."""
        ...


class Dataset(Protocol):
    """A dataset of any kind: TFDS, a folder, or synthetic."""

    def info(self) -> Info: ...

    def open(self, split: str, encoded: bool = False) -> Source:
        """The examples of a split; encoded leaves images as the bytes of their file where there are any."""
        ...
