"""What sources of image files share, wherever the bytes lie: decoding, headers, and naming what is broken."""

import abc
from collections.abc import Sequence

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenImageError
from jresnet.data.info import Example
from jresnet.errors import UsageError

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".pgm", ".ppm", ".bmp", ".gif", ".tif", ".tiff", ".webp")
)
# A split is the first of its names that exists.
SPLIT_NAMES = {"train": ("train",), "test": ("test", "val", "validation")}
_SAMPLED_HEADERS = 64


class FileSource(abc.ABC):
    """One split of image files; a subclass says where their bytes lie.

    Images come with `channels`, or as the bytes of their file if `encoded`. A file that is no readable image raises
    BrokenImageError with its name, one that cannot be read at all UsageError.
    """

    labels: Sequence[int] | np.ndarray
    channels: int
    encoded: bool

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Example:
        data, label = self.read(index), int(self.labels[index])
        if self.encoded:
            return {"image": data, "label": label}
        try:
            return {"image": images.decode(data, self.channels), "label": label}
        except images.DecodeError as error:
            raise self.broken(index, error) from error

    def header(self, index: int) -> tuple[int, int, int]:
        """(height, width, channels) of one file. Raises BrokenImageError."""
        try:
            return images.header(self.read(index))
        except images.DecodeError as error:
            raise self.broken(index, error) from error

    def broken(self, index: int, error: Exception) -> BrokenImageError:
        """The exception for a file that is there but no readable image."""
        return BrokenImageError(f"{self.describe(index)}: not a readable image ({error})")

    @abc.abstractmethod
    def read(self, index: int) -> bytes:
        """The file's bytes."""

    @abc.abstractmethod
    def describe(self, index: int) -> str:
        """The file's name."""


def image_shape(source: FileSource) -> tuple[int | None, ...]:
    """(height, width, channels) by the headers of up to 64 files spread over the source; None where they differ.

    Broken files tell nothing here. Raises UsageError if all are.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, _SAMPLED_HEADERS).astype(int))
    headers, last = set(), None
    for index in chosen.tolist():
        try:
            headers.add(source.header(index))
        except BrokenImageError as error:
            last = error
    if not headers:
        raise UsageError(
            f"{len(chosen)} of {len(chosen)} files looked at are broken; such as {last}"
        )
    heights, widths, channels = (set(sizes) for sizes in zip(*headers, strict=True))
    only = [sizes.pop() if len(sizes) == 1 else None for sizes in (heights, widths)]
    return (*only, max(channels))  # one coloured image makes it a colour set


def shorten(names: Sequence[str]) -> str:
    """The first names of a list that may be long."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
