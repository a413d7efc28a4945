"""The types that every kind of dataset shares: what an example is, a dataset, and one split of it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np

# More than any set of images has; a label beyond is damage, and as many names would fill the memory.
MAX_CLASSES = 1 << 20

# One example as it is stored: arrays, numbers, the bytes of image files.
Example = dict[str, Any]
# Shapes and types of the arrays of one example as it is batched.
Spec = Mapping[str, jax.ShapeDtypeStruct]


@dataclasses.dataclass(frozen=True)
class Info:
    """Facts about a dataset that are known without reading its examples.

    - `num_classes`, `class_names`: 0 and () for a set without classes.
    - `image_shape`: (height, width, channels), with None where it differs from image to image;
      () for a set without images.
    - `sizes`: number of examples of "train" and "test". A split that is not on this machine is
      absent.
    - `class_of`: what has a class. None for a set without classes.
    - `spec`: shapes and types of a set whose examples are batched as they are stored; else None.
    """

    name: str
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    image_shape: tuple[int | None, ...] = ()
    sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    class_of: Literal["image", "box", "pixel", "clip"] | None = "image"
    spec: Spec | None = None

    @property
    def fixed_shape(self) -> tuple[int, ...] | None:
        """`image_shape` when every image has it, otherwise None."""
        shape = tuple(size for size in self.image_shape if size is not None)
        return shape if shape and len(shape) == len(self.image_shape) else None


class Source(Protocol):
    """Random access to the examples of one split. Pickles, since Grain's workers are other processes.

    An example is any dict. Sets of labelled images give `image`, uint8 [H, W, C] or the bytes of
    its file, and `label`, an int. An example whose files are damaged raises
    `broken.BrokenExampleError` with its name.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...

    def describe(self, index: int) -> str:
        """The name of this example in error messages, such as that of its file."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A source that has the sizes of its images in an index."""

    def sizes(self) -> np.ndarray:
        """int [examples, axes], such as height and width; a row of zeros where it is unknown."""
        ...


@runtime_checkable
class Inspected(Protocol):
    """A source whose annotations are inspected when it is opened: faulty ones are left out of their
    examples."""

    def faults(self) -> Sequence[str]:
        """A line about each annotation that was left out, with its file."""
        ...


class Dataset(Protocol):
    """A dataset of any kind: TFDS, a folder, or synthetic."""

    def info(self) -> Info: ...

    def open(self, split: str, encoded: bool = False) -> Source:
        """The examples of a split; encoded leaves images as the bytes of their file where there are any."""
        ...
