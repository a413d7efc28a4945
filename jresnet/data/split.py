"""One split of a dataset: its examples as named arrays, in memory or read as they are wanted."""

import dataclasses
import functools
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.data.arrays import Arrays
from jresnet.data.batches import Batches, Host
from jresnet.data.broken import Ledger
from jresnet.data.buckets import Bucketed, Buckets
from jresnet.data.info import Dataset, Info, Inspected, Source, Spec
from jresnet.data.load import Batch, Load
from jresnet.data.sources.resolve import resolve
from jresnet.data.transform import RESERVED, AsStored, Labelled, Transform, as_transform
from jresnet.errors import UsageError

_IN_MEMORY_BYTES = 2 << 30


@dataclasses.dataclass(frozen=True)
class Origin:
    """A dataset by its name and folder, as `sources.resolve` takes them, opened once."""

    dataset: str | Dataset
    data_dir: Path | None = None

    @functools.cached_property
    def info(self) -> Info:
        """Facts about the dataset, before any transform. Raises UsageError."""
        return self._resolved.info()

    def open(self, split: str, encoded: bool) -> Source:
        """The examples of a split as they are stored. Raises UsageError."""
        if (split, encoded) not in self._sources:
            self._sources[split, encoded] = self._resolved.open(split, encoded=encoded)
        return self._sources[split, encoded]

    def faults(self) -> tuple[str, ...]:
        """A line about each annotation that was left out of the splits opened so far, once."""
        sources = [one for one in self._sources.values() if isinstance(one, Inspected)]
        return tuple(dict.fromkeys(line for source in sources for line in source.faults()))

    @functools.cached_property
    def _resolved(self) -> Dataset:
        return resolve(self.dataset, self.data_dir)

    @functools.cached_property
    def _sources(self) -> dict[tuple[str, bool], Source]:
        return {}


@dataclasses.dataclass(frozen=True)
class Split:
    """The examples of a split through a transform, and what of its files is broken.

    - `origin`: the dataset.
    - `name`: the split's name in the dataset, such as "train[:90%]".
    - `transform`: a `Transform`, an `ImageTransform`, a `Bucketed`, or None for examples as they
      are stored.
    - `once`: whether examples are transformed once and held in memory.
    - `title`: its name in messages.
    - `faults`: a line about each broken example that this process has met, by position.
    """

    origin: Origin
    name: str
    transform: Any = None
    once: bool = False
    title: str = dataclasses.field(default="train", compare=False)
    faults: dict[int, str] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def info(self) -> Info:
        """Facts about the whole dataset, before any transform. Raises UsageError."""
        return self.origin.info

    @property
    def source(self) -> Source:
        """The examples as they are stored. Raises UsageError."""
        return self.origin.open(self.name, encoded=not self._plain)

    @property
    def _plain(self) -> bool:
        """Whether examples stay as they are stored, images decoded."""
        return any(self.transform == plain for plain in (None, Labelled(), AsStored()))

    @property
    def size(self) -> int:
        """Number of examples, padding not counted."""
        return len(self.source)

    @functools.cached_property
    def transforms(self) -> tuple[Transform, ...]:
        """One transform a bucket."""
        if isinstance(self.transform, Bucketed):
            return self.transform.each(self.info)
        return (as_transform(self.transform, self.info),)

    @functools.cached_property
    def specs(self) -> tuple[Spec, ...]:
        """Shapes and types of an example, for each bucket. Reads no example. Raises UsageError."""
        specs = tuple(transform.spec(self.info) for transform in self.transforms)
        for name in (name for spec in specs for name in spec if name in RESERVED):
            raise UsageError(f"spec: {name!r} is an array of every batch; expected another name")
        return specs

    @functools.cached_property
    def buckets(self) -> Buckets:
        """The bucket of every example. May read the headers of all images, once."""
        if isinstance(self.transform, Bucketed):
            return self.transform.buckets(self.source, self.info)
        return Buckets.whole(self.size)

    @property
    def used_specs(self) -> tuple[Spec, ...]:
        """The specs of buckets that have examples."""
        members = self.buckets.members
        return tuple(spec for spec, m in zip(self.specs, members, strict=True) if len(m))

    @functools.cached_property
    def streamed(self) -> Load:
        """The examples, each read as it is wanted."""
        return Load(self.source, self.transforms, self.specs, self.info, self.buckets)

    @property
    def arrays(self) -> Arrays | None:
        """The split in memory; None if it is too large or is to be transformed anew every time."""
        if not self._plain and not self.once:
            return None
        if _bytes(self) > _IN_MEMORY_BYTES:
            return None
        try:
            hash(self)
        except TypeError:  # of a transform or dataset that other splits cannot be compared with
            arrays = self._unshared
        else:
            arrays = read_split(self)
        self.ledger.note(arrays.spans)
        return arrays

    @functools.cached_property
    def _unshared(self) -> Arrays:
        return Arrays.read(self.streamed)

    @functools.cached_property
    def ledger(self) -> Ledger:
        """The broken files met so far."""
        name = f"{self.info.name} {self.title}"
        load = self.streamed
        return Ledger(name, self.size, load.fault, self.buckets.following, self.faults)

    def training(
        self, batches: Batches, seed: int, start: int, host: Host, repeats: int = 1
    ) -> Generator[Batch, None, None]:
        """This host's rows of batches start, start + 1, ... without end."""
        load = self.arrays or self.streamed
        return self._watched(load, batches.training(load, seed, host, start, repeats))

    def rows(
        self, batches: Batches, seed: int, start: int, host: Host, repeats: int = 1
    ) -> Generator[Batch, None, None]:
        """The batches of `training` as {"row": int32 [b]}, positions in the arrays in memory."""
        arrays = self.arrays
        assert arrays is not None
        load = dataclasses.replace(arrays, as_rows=True)
        return batches.training(load, seed, host, start, repeats)

    def evaluation(self, batches: Batches, host: Host) -> Generator[Batch, None, None]:
        """This host's rows of every example once, bucket by bucket, the rest padded."""
        load = self.arrays or self.streamed
        return self._watched(load, batches.evaluation(load, host))

    def _watched(
        self, load: Arrays | Load, batches: Generator[Batch, None, None]
    ) -> Generator[Batch, None, None]:
        if isinstance(load, Arrays):
            return batches  # its broken files are known
        return self.ledger.watch(batches)


def _bytes(split: Split) -> int:
    """The memory that all examples of a split take."""
    return sum(
        len(members) * int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
        for spec, members in zip(split.specs, split.buckets.members, strict=True)
        for array in spec.values()
    )


@functools.lru_cache(maxsize=4)
def read_split(split: Split) -> Arrays:
    """A split in memory, kept for the next one that is equal: a study's nets share one copy."""
    return Arrays.read(split.streamed)
