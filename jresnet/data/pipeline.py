"""Batches of labelled images: the data an Experiment holds.

Training batch k is a function of (seed, k) and of nothing else: not of the number of hosts, workers or threads,
nor of where a run was interrupted. So the step number is the position in the data.
"""

import dataclasses
import functools
from collections.abc import Generator
from pathlib import Path

import grain
import jax
import numpy as np
from absl import flags

from jresnet.data import augment
from jresnet.data.info import Dataset, Info, Source
from jresnet.data.load import Arrays, Batch, ImageTransform, Load
from jresnet.data.source import Synthetic, resolve
from jresnet.errors import UsageError

# (index of this host, number of hosts)
Host = tuple[int, int]

_IN_MEMORY_BYTES = 2 << 30
# Without end, but for Grain, whose own endless repeat overflows with one row per host.
_EPOCHS = 1 << 30


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A dataset cut into batches of {"image": uint8 [b, H, W, C], "label": int32 [b]}.

    Sets of small images of one size are held in memory, decoded. With transforms (both or neither), or above
    2 GiB, images are read as they are wanted, by that many threads in each of that many worker processes
    (0: in this one). batch_size and eval_batch_size are global, over all hosts. dataset and data_dir are those
    of `source.resolve`; train_split and test_split may be any split the dataset has, such as "train[:90%]" of TFDS.
    """

    dataset: str | Synthetic
    batch_size: int
    eval_batch_size: int = 256
    data_dir: Path | None = None
    seed: int = 0
    train_transform: ImageTransform | None = None
    eval_transform: ImageTransform | None = None
    train_split: str = "train"
    test_split: str = "test"
    workers: int = 0
    threads: int = 8

    def info(self) -> Info:
        """Of the dataset as it lies on disk, before any transform. Raises UsageError."""
        return self._info

    def check(self) -> None:
        """Raises UsageError for anything that would stop train or test. Loads a set that is held in memory."""
        for field, low in (
            ("batch_size", 1),
            ("eval_batch_size", 1),
            ("workers", 0),
            ("threads", 1),
            ("seed", 0),
        ):
            if (value := getattr(self, field)) < low:
                raise UsageError(f"{field}={value}: expected at least {low}")
        if self.seed >= 2**32:
            raise UsageError(f"seed={self.seed}: expected less than 2**32")
        if (self.train_transform is None) != (self.eval_transform is None):
            raise UsageError("train_transform, eval_transform: expected both or neither")
        if self.batch_size > self.size("train"):
            raise UsageError(
                f"batch_size={self.batch_size}: {self._info.name!r} has only {self.size('train')} to train on"
            )
        self._image_shape(self.train_transform)
        _ = self._arrays("train"), self._arrays("test")

    def size(self, split: str) -> int:
        """How many examples "train" or "test" holds, padding not counted."""
        return len(self._source(split))

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one global training batch; reads no image of a set that is prepared or built in."""
        shape = self._image_shape(self.train_transform)
        return {
            "image": jax.ShapeDtypeStruct((self.batch_size, *shape), np.uint8),
            "label": jax.ShapeDtypeStruct((self.batch_size,), np.int32),
        }

    def train(self, start: int = 0, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """This host's rows of batches start, start + 1, ... without end.

        Host h of n has the h-th of n consecutive blocks of rows, the layout that
        jax.make_array_from_process_local_data wants, so the global batch does not depend on n. Epochs are
        permutations of the split and follow each other within a batch. Closing the generator ends its workers.
        Raises UsageError.
        """
        rows = _rows_per_host("batch_size", self.batch_size, host)
        load = self._arrays("train") or self._loader("train", self.train_transform)
        order = grain.MapDataset.range(self.size("train")).seed(self.seed).shuffle().repeat(_EPOCHS)
        return self._batches(order, load, rows, host, start)

    def examples(self, split: str, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """This host's rows of every example of "train" or "test", once and in order, with "mask" float32 [b].

        Through the evaluation transform. All hosts yield as many batches, all full: where the split is used
        up its last example is repeated with mask 0. Layout of hosts and errors as in train.
        """
        rows = _rows_per_host("eval_batch_size", self.eval_batch_size, host)
        load = self._arrays(split) or self._loader(split, self.eval_transform)
        load = dataclasses.replace(load, masked=True)
        padded = -(-self.size(split) // self.eval_batch_size) * self.eval_batch_size
        return self._batches(grain.MapDataset.range(padded), load, rows, host, 0)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel of the training split, for `augment.Normalize`.

        Raises UsageError for a set that is not held in memory.
        """
        arrays = self._arrays("train")
        if arrays is None:
            raise UsageError(f"dataset={self._info.name!r}: not held in memory; give mean and std")
        return augment.channel_statistics(arrays.images)

    def normalize(self) -> augment.Normalize:
        """The published statistics of CIFAR-10 and ImageNet, those of the training split otherwise."""
        published = {"cifar10": augment.CIFAR10, "imagenet2012": augment.IMAGENET}
        if isinstance(self.dataset, str) and self.dataset in published:
            return published[self.dataset]
        return augment.Normalize(*self.channel_statistics())

    def smoke(self) -> "ImageData":
        """A few made-up small images with as many channels and classes, in batches of 32 at most."""
        info, batch = self._info, min(32, self.batch_size)
        images = Synthetic((32, 32, info.image_shape[-1] or 3), info.num_classes, 2 * batch, batch)
        return dataclasses.replace(
            self,
            dataset=images,
            batch_size=batch,
            eval_batch_size=batch,
            train_transform=None,
            eval_transform=None,
            train_split="train",
            test_split="test",
            workers=0,
        )

    @functools.cached_property
    def _dataset(self) -> Dataset:
        return resolve(self.dataset, self.data_dir)

    @functools.cached_property
    def _info(self) -> Info:
        return self._dataset.info()

    @functools.cached_property
    def _sources(self) -> dict[str, Source]:
        encoded = self.train_transform is not None
        names = {"train": self.train_split, "test": self.test_split}
        return {split: self._dataset.open(name, encoded=encoded) for split, name in names.items()}

    def _source(self, split: str) -> Source:
        if split not in ("train", "test"):
            raise UsageError(f"split={split!r}: expected 'train' or 'test'")
        return self._sources[split]

    def _arrays(self, split: str) -> Arrays | None:
        """The split in memory; None if it is read as it is wanted."""
        if self.train_transform is not None:
            return None
        if len(self._source(split)) * np.prod(self._image_shape(None)) > _IN_MEMORY_BYTES:
            return None
        name = self.train_split if split == "train" else self.test_split
        return _read(self.dataset, self.data_dir, name)

    def _loader(self, split: str, transform: ImageTransform | None) -> Load:
        return Load(self._source(split), transform, self._image_shape(transform), self._info)

    def _image_shape(self, transform: ImageTransform | None) -> tuple[int, ...]:
        shape = self._info.fixed_shape if transform is None else transform.image_shape
        if shape is None:
            raise UsageError(
                f"dataset={self._info.name!r}: its images differ in size; expected train_transform and "
                "eval_transform, such as RandomResizedCrop() and ResizeCenterCrop()"
            )
        return shape

    def _batches(
        self,
        positions: grain.MapDataset,
        load: Arrays | Load,
        rows: int,
        host: Host,
        start: int,
    ) -> Generator[Batch, None, None]:
        if isinstance(load, Arrays):
            # Whole batches of indices: six times faster than example by example. Threads would only wait for the GIL.
            batches = positions.batch(rows)[host[0] :: host[1]][start:].map(load)
            return _iterate(batches, threads=0, workers=0)
        # Transformed before the hosts part ways, so that an image gets the same random numbers on any of them.
        examples = positions.random_map(load, seed=self.seed)
        return _iterate(
            examples.batch(rows)[host[0] :: host[1]][start:], self.threads, self.workers
        )


@functools.lru_cache(maxsize=4)
def _read(dataset: str | Synthetic, data_dir: Path | None, split: str) -> Arrays:
    """A split in memory, kept for the next ImageData that reads it: a study's nets share one copy."""
    found = resolve(dataset, data_dir)
    info = found.info()
    assert info.fixed_shape is not None
    return Arrays.read(Load(found.open(split), None, info.fixed_shape, info))


def _rows_per_host(field: str, batch_size: int, host: Host) -> int:
    index, count = host
    if not 0 <= index < count:
        raise UsageError(f"host={host}: expected (index, count) with 0 <= index < count")
    if batch_size < 1 or batch_size % count:
        raise UsageError(f"{field}={batch_size}: expected a multiple of the {count} hosts")
    return batch_size // count


def _iterate(batches: grain.MapDataset, threads: int, workers: int) -> Generator[Batch, None, None]:
    # The buffer counts batches, one per thread.
    dataset = batches.to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    )
    if workers:
        if not flags.FLAGS.is_parsed():
            # Grain reads absl flags here, which nobody parses in a program that does not use absl.
            flags.FLAGS.mark_as_parsed()
        dataset = dataset.mp_prefetch(
            grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2)
        )
    iterator = iter(dataset)
    try:
        yield from iterator
    finally:
        iterator.close()
