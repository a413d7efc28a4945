"""Examples of mixed size in buckets: one shape of batches, and so one compiled program, a bucket."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.info import Info, Measured, Source
from jresnet.data.transform import Transform, as_transform
from jresnet.errors import UsageError
from jresnet.padding import full_batches

Size = tuple[int, ...]


def nearest_proportions(size: Size, buckets: Sequence[Size]) -> int:
    """The bucket whose height over width is nearest to that of `size`, by their logarithms."""
    height, width = size[-2:]
    off = [abs(np.log(h * width / (w * height))) for *_, h, w in buckets]
    return int(np.argmin(off))


def smallest_that_holds(size: Size, buckets: Sequence[Size]) -> int:
    """The bucket with the fewest pixels in which `size` fits; the largest one where none holds it."""
    areas = [int(np.prod(bucket)) for bucket in buckets]
    holds = [all(s <= b for s, b in zip(size, bucket, strict=True)) for bucket in buckets]
    if not any(holds):
        return int(np.argmax(areas))
    return min((number for number, fits in enumerate(holds) if fits), key=areas.__getitem__)


@dataclasses.dataclass(frozen=True)
class Bucketed:
    """A transform for each bucket; the size of its image decides which bucket an example is in.

    - `transforms`: one a bucket, each with a shape of its own.
    - `choose(size, sizes)`: the bucket of an image of `size` as stored, (height, width), of buckets
      whose transforms return images of `sizes`.
    - `image`: the name of the array that is measured.

    Sizes come from the source if it is `info.Measured`, and else from the headers of the images,
    once for each split. A training batch holds examples of one bucket, see `order.BucketOrder`.
    """

    transforms: tuple[Any, ...]
    choose: Callable[[Size, Sequence[Size]], int] = nearest_proportions
    image: str = "image"

    def __post_init__(self) -> None:
        if not self.transforms:
            raise UsageError("transforms=(): expected at least one")

    def each(self, info: Info) -> tuple[Transform, ...]:
        """One transform a bucket; those of an image alone stand for `Labelled`."""
        return tuple(as_transform(transform, info) for transform in self.transforms)

    def buckets(self, source: Source, info: Info) -> "Buckets":
        """The bucket of every example of a split, by the sizes of its images."""
        targets = [transform.spec(info)[self.image].shape[:-1] for transform in self.each(info)]
        sizes = measured(source, self.image)
        kinds, which = np.unique(sizes, axis=0, return_inverse=True)
        chosen = np.array(
            [self.choose(tuple(size), targets) if all(size) else -1 for size in kinds.tolist()]
        )
        number = chosen[which.reshape(-1)]
        known = np.flatnonzero(number >= 0)
        if len(known):
            # A file that is broken goes where the next readable one is, which stands in for it.
            places = np.searchsorted(known, np.arange(len(number))) % len(known)
            number = number[known[places]]
        return Buckets.grouped(np.maximum(number, 0), len(targets))


def measured(source: Source, name: str) -> np.ndarray:
    """The sizes of the images of a split as stored, int [examples, axes]; 0 for broken ones."""
    if isinstance(source, Measured):
        return np.asarray(source.sizes())

    def size(index: int) -> Size:
        try:
            image = source[index][name]
            return images.header(image)[:2] if isinstance(image, bytes) else image.shape[:-1]
        except (BrokenExampleError, images.DecodeError):
            return ()

    with ThreadPoolExecutor(decoding_threads(0)) as threads:
        sizes = list(threads.map(size, range(len(source))))
    axes = max(map(len, sizes), default=0)
    return np.array([size or (0,) * axes for size in sizes], np.int64).reshape(len(sizes), axes)


@dataclasses.dataclass(frozen=True, eq=False)
class Buckets:
    """The examples of a split by their buckets.

    - `members`: the positions of each bucket's examples in the split, ascending.
    - `number`: the bucket of each example, int [examples]; None where there is one bucket.
    """

    members: tuple[Sequence[int] | np.ndarray, ...]
    number: np.ndarray | None = None

    @classmethod
    def whole(cls, size: int) -> "Buckets":
        """A split of that size in one bucket."""
        return cls((range(size),))

    @classmethod
    def grouped(cls, number: np.ndarray, count: int) -> "Buckets":
        """A split in `count` buckets, from the bucket of each example."""
        members = tuple(np.flatnonzero(number == bucket) for bucket in range(count))
        return cls(members, number)

    @property
    def size(self) -> int:
        """Number of examples in all buckets."""
        return sum(map(len, self.members))

    def bucket(self, index: int) -> int:
        """The bucket of an example."""
        return 0 if self.number is None else int(self.number[index])

    def rank(self, index: np.ndarray, bucket: int) -> np.ndarray:
        """The places of examples, int [n], among the members of their bucket."""
        return index if self.number is None else np.searchsorted(self.members[bucket], index)

    def following(self, index: int) -> Iterator[int]:
        """An example and those that follow it in its bucket, each once: its stand-ins."""
        bucket = self.bucket(index)
        members = self.members[bucket]
        first = int(self.rank(np.asarray(index), bucket))
        for place in range(first, first + len(members)):
            yield int(members[place % len(members)])

    def in_order(self, batch_size: int) -> np.ndarray:
        """Every example once, bucket by bucket, int [rows], in full batches of one bucket each.

        Padding is the bucket's last example with the size of the split added to its position.
        """
        parts = []
        for members in self.members:
            rows, real = full_batches(len(members), batch_size)
            positions = np.asarray(members, np.int64)[rows]
            parts.append(np.where(real, positions, positions + self.size))
        return np.concatenate(parts)

    def locate(self, element: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the examples and whether each is real, from elements of `in_order`."""
        inside = element < self.size
        return np.where(inside, element, element - self.size), inside
