"""Batches of labelled images: the data an Experiment holds.

Training batch k is a function of (seed, k) and of nothing else: not of the number of hosts, workers
or threads, nor of where a run was interrupted. So the step number is the position in the data.
"""

import dataclasses
import functools
from collections.abc import Generator, Sequence
from pathlib import Path

import jax
import numpy as np

from jresnet.data import normalisation
from jresnet.data.arrays import Arrays, read_split
from jresnet.data.batches import Batches, Host
from jresnet.data.broken import Ledger
from jresnet.data.cores import decoding_threads
from jresnet.data.info import Dataset, Info, Source
from jresnet.data.load import Batch, ImageTransform, Load
from jresnet.data.sources.resolve import resolve
from jresnet.data.sources.synthetic import Synthetic
from jresnet.errors import UsageError

_IN_MEMORY_BYTES = 2 << 30
# Fields that decide nothing about a result; a run's record leaves them out (`jresnet.description`).
INCIDENTAL = {"incidental": True}


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A dataset cut into batches of {"image": uint8 [b, H, W, C], "label": int32 [b]}.

    `dataset` and `data_dir` are those of `source.resolve`, or a dataset itself, such as
    `few.PerClass`; the splits may be any that it has, such as "train[:90%]" of TFDS. `batch_size`
    and `eval_batch_size` are global, over all hosts.

    Sets of small images of one size are held in memory, decoded. With transforms (both or neither),
    or above 2 GiB, images are read as they are wanted, by `threads` (None: as
    `cores.decoding_threads`) in each of so many worker processes (0: in this one).
    `transform_once` is for transforms that draw no random number: every image is transformed once
    and held in memory. With `repeats` every example comes that many times in a row, each time
    transformed anew (Hoffer et al. 2019, arXiv 1901.09335), in an epoch that much longer.

    A training split that is held in memory is also put on the device as a whole, if `on_device`
    says so, or says nothing and there is an accelerator: the same batches, without moving images.
    """

    dataset: str | Dataset
    batch_size: int
    eval_batch_size: int = 256
    data_dir: Path | None = dataclasses.field(default=None, metadata=INCIDENTAL)
    seed: int = 0
    train_transform: ImageTransform | None = None
    eval_transform: ImageTransform | None = None
    train_split: str = "train"
    test_split: str = "test"
    workers: int = dataclasses.field(default=0, metadata=INCIDENTAL)
    threads: int | None = dataclasses.field(default=None, metadata=INCIDENTAL)
    transform_once: bool = False
    repeats: int = 1
    on_device: bool | None = dataclasses.field(default=None, metadata=INCIDENTAL)

    def info(self) -> Info:
        """Of the dataset as it lies on disk, before any transform. Raises UsageError."""
        return self._info

    def check(self, splits: Sequence[str] = ("train", "test")) -> None:
        """Raises UsageError for anything that would stop the use of these splits. Loads a set that is held in memory."""
        for field, low in (
            ("batch_size", 1),
            ("eval_batch_size", 1),
            ("workers", 0),
            ("threads", 1),
            ("seed", 0),
            ("repeats", 1),
        ):
            value = getattr(self, field)
            if value is not None and value < low:
                raise UsageError(f"{field}={value}: expected at least {low}")
        if self.seed >= 2**32:
            raise UsageError(f"seed={self.seed}: expected less than 2**32")
        if (self.train_transform is None) != (self.eval_transform is None):
            raise UsageError("train_transform, eval_transform: expected both or neither")
        if "train" in splits and self.batch_size > self.size("train"):
            raise UsageError(
                f"batch_size={self.batch_size}: {self._info.name!r} has only {self.size('train')} to train on"
            )
        self._image_shape(self.train_transform)
        for split in splits:
            self._arrays(split)

    def size(self, split: str) -> int:
        """How many examples "train" or "test" holds, padding not counted."""
        return len(self.source(split))

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
        load = self._arrays("train") or self._loader("train", self.train_transform)
        return self._watched("train", load, self._training(load, start, host))

    def resident(self) -> dict[str, np.ndarray] | None:
        """The training split as arrays, if it is to lie on the device (`on_device`); else None."""
        wanted = jax.default_backend() != "cpu" if self.on_device is None else self.on_device
        arrays = self._arrays("train") if wanted else None
        if arrays is None and self.on_device:
            raise UsageError(f"on_device=True: {self._info.name!r} is not held in memory")
        return None if arrays is None else {"image": arrays.images, "label": arrays.labels}

    def rows(self, start: int = 0, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """The batches of `train` as {"row": int32 [b]}, positions in the arrays of `resident`."""
        arrays = self._arrays("train")
        assert arrays is not None
        return self._training(dataclasses.replace(arrays, as_rows=True), start, host)

    def _training(
        self, load: Arrays | Load, start: int, host: Host
    ) -> Generator[Batch, None, None]:
        size = self.size("train")
        return self._batches.training(load, size, self.seed, host, start, self.repeats)

    def examples(self, split: str, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """This host's rows of every example of "train" or "test", once and in order, with "valid" float32 and "index" int32 [b].

        Through the evaluation transform. All hosts yield as many batches, all full: where the split is used
        up its last example is repeated with valid 0. So is an example whose file is broken a neighbour, and there
        "broken" float32 [b] is 1. Layout of hosts and errors as in train.
        """
        load = self._arrays(split) or self._loader(split, self.eval_transform)
        return self._watched(split, load, self._batches.evaluation(load, self.size(split), host))

    def broken(self) -> tuple[str, ...]:
        """What is wrong with each file found broken so far in this process, with its name."""
        return tuple(line for ledger in self._ledgers.values() for line in ledger.found.values())

    @property
    def _batches(self) -> Batches:
        threads = self.threads or decoding_threads(self.workers)
        return Batches(self.batch_size, self.eval_batch_size, self.workers, threads)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel of the training split, for `normalisation.Normalize`.

        Raises UsageError for a set that is not held in memory.
        """
        arrays = self._arrays("train")
        if arrays is None:
            raise UsageError(f"dataset={self._info.name!r}: not held in memory; give mean and std")
        return normalisation.channel_statistics(arrays.images)

    def normalize(self) -> normalisation.Normalize:
        """The published statistics of CIFAR-10 and ImageNet, those of the training split otherwise."""
        published = {"cifar10": normalisation.CIFAR10, "imagenet2012": normalisation.IMAGENET}
        if isinstance(self.dataset, str) and self.dataset in published:
            return published[self.dataset]
        return normalisation.Normalize(*self.channel_statistics())

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
            transform_once=False,
        )

    @functools.cached_property
    def _dataset(self) -> Dataset:
        return resolve(self.dataset, self.data_dir)

    @functools.cached_property
    def _info(self) -> Info:
        return self._dataset.info()

    @functools.cached_property
    def _sources(self) -> dict[str, Source]:
        return {}

    def source(self, split: str) -> Source:
        """The examples of "train" or "test" as they are stored."""
        if split not in ("train", "test"):
            raise UsageError(f"split={split!r}: expected 'train' or 'test'")
        if split not in self._sources:
            encoded = self.train_transform is not None
            name = self.train_split if split == "train" else self.test_split
            self._sources[split] = self._dataset.open(name, encoded=encoded)
        return self._sources[split]

    def _arrays(self, split: str) -> Arrays | None:
        """The split in memory; None if it is read as it is wanted."""
        transform = self.train_transform if split == "train" else self.eval_transform
        if transform is not None and not self.transform_once:
            return None
        if self.size(split) * np.prod(self._image_shape(transform)) > _IN_MEMORY_BYTES:
            return None
        name = self.train_split if split == "train" else self.test_split
        arrays = read_split(self.dataset, self.data_dir, name, transform)
        self._ledger(split, transform).note(arrays.spans)
        return arrays

    def _watched(
        self, split: str, load: Arrays | Load, batches: Generator[Batch, None, None]
    ) -> Generator[Batch, None, None]:
        if isinstance(load, Arrays):
            return batches  # its broken files are known
        return self._ledger(split, load.transform).watch(batches)

    def _ledger(self, split: str, transform: ImageTransform | None) -> Ledger:
        if split not in self._ledgers:
            load = self._loader(split, transform)
            name = f"{self._info.name} {split}"
            self._ledgers[split] = Ledger(name, self.size(split), load.fault)
        return self._ledgers[split]

    @functools.cached_property
    def _ledgers(self) -> dict[str, Ledger]:
        return {}

    def _loader(self, split: str, transform: ImageTransform | None) -> Load:
        return Load(self.source(split), transform, self._image_shape(transform), self._info)

    def _image_shape(self, transform: ImageTransform | None) -> tuple[int, ...]:
        shape = self._info.fixed_shape if transform is None else transform.image_shape
        if shape is None:
            raise UsageError(
                f"dataset={self._info.name!r}: its images differ in size; expected train_transform and "
                "eval_transform, such as RandomResizedCrop() and ResizeCenterCrop()"
            )
        return shape
