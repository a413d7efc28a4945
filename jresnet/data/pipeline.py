"""Batches of named arrays: the data an Experiment holds.

Training batch k is a function of (seed, k) and of nothing else: not of the number of hosts, workers
or threads, nor of where a run was interrupted. So the step number is the position in the data.
"""

import dataclasses
import functools
import math
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from jresnet.data import normalisation
from jresnet.data.batches import Batches, Host
from jresnet.data.broken import BrokenExampleError
from jresnet.data.buckets import Bucketed
from jresnet.data.cores import decoding_threads
from jresnet.data.for_devices import Copied
from jresnet.data.info import Dataset, Info, Source, Spec
from jresnet.data.load import Batch
from jresnet.data.sources.made_up import made_up
from jresnet.data.split import Origin, Split
from jresnet.data.transform import ImageTransform, Transform
from jresnet.errors import UsageError

# Fields that decide nothing about a result; a run's record leaves them out (`jresnet.description`).
INCIDENTAL = {"incidental": True}
AnyTransform = ImageTransform | Transform | Bucketed


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A dataset cut into batches of named arrays, [b, ...] each: of images with their class
    `image` uint8 [b, H, W, C] and `label` int32 [b].

    `dataset` and `data_dir` are those of `resolve.resolve`, or a dataset itself, such as
    `few.PerClass`; the splits may be any that it has, such as "train[:90%]" of TFDS. `batch_size`
    and `eval_batch_size` are global, over all hosts.

    The transforms (both or neither) are `transform.Transform`s, for examples of any kind;
    transforms of an image alone, such as `crops.RandomResizedCrop`, for images with their class; or
    `buckets.Bucketed`, for batches of several shapes.

    Sets of small images of one size are held in memory, decoded. With transforms, or above 2 GiB,
    examples are read as they are wanted, by `threads` (None: as `cores.decoding_threads`) in each
    of so many worker processes (0: in this one).
    `transform_once` is for transforms that draw no random number: every example is transformed once
    and held in memory. With `repeats` every example comes that many times in a row, each time
    transformed anew (Hoffer et al. 2019, arXiv 1901.09335), in an epoch that much longer.

    A training split that is held in memory in one bucket is also put on the device as a whole, if
    `on_device` says so, or says nothing and there is an accelerator: the same batches, without
    moving examples.

    `val_split` is a split of the dataset to choose by, such as "val": then "val" is evaluated like
    "test".

    `fill` makes batches larger that do not divide among the devices, see `for_devices`.
    """

    dataset: str | Dataset
    batch_size: int
    eval_batch_size: int = 256
    data_dir: Path | None = dataclasses.field(default=None, metadata=INCIDENTAL)
    seed: int = 0
    train_transform: AnyTransform | None = None
    eval_transform: AnyTransform | None = None
    train_split: str = "train"
    test_split: str = "test"
    workers: int = dataclasses.field(default=0, metadata=INCIDENTAL)
    threads: int | None = dataclasses.field(default=None, metadata=INCIDENTAL)
    transform_once: bool = False
    repeats: int = 1
    on_device: bool | None = dataclasses.field(default=None, metadata=INCIDENTAL)
    fill: bool = dataclasses.field(default=False, metadata=INCIDENTAL)
    val_split: str | None = None

    def info(self) -> Info:
        """Facts about the dataset as it lies on disk, before any transform. Raises UsageError."""
        return self._origin.info

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
        _ = self._split("train").specs, self._split("test").specs
        if "train" in splits and self.batch_size > self.size("train"):
            raise UsageError(
                f"batch_size={self.batch_size}: {self.info().name!r} has only {self.size('train')} to train on"
            )
        for split in splits:
            _ = self._split(split).arrays

    def for_devices(self, devices: int) -> "ImageData | Copied":
        """The data whose batches divide among so many devices; itself without `fill`.

        An evaluation batch gets more rows, at its end with `valid` 0; a training batch has each of
        its rows several times.
        """
        if not self.fill:
            return self
        size = -(-self.eval_batch_size // devices) * devices
        same = size == self.eval_batch_size
        data = self if same else dataclasses.replace(self, eval_batch_size=size)
        copies = math.lcm(self.batch_size, devices) // self.batch_size
        return data if copies == 1 else Copied(data, copies)

    def size(self, split: str) -> int:
        """How many examples "train" or "test" holds, padding not counted."""
        return self._split(split).size

    def source(self, split: str) -> Source:
        """The examples of "train" or "test" as they are stored."""
        return self._split(split).source

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one global training batch, of the first bucket; reads no example of a
        set that is prepared or built in."""
        return self._batch_of(self._split("train").specs[0])

    @property
    def example_batches(self) -> list[dict[str, jax.ShapeDtypeStruct]]:
        """Shapes and types of one global training batch of each bucket that has examples."""
        split = self._split("train")
        specs = split.used_specs if len(split.specs) > 1 else split.specs
        return [self._batch_of(spec) for spec in specs]

    def _batch_of(self, spec: Spec) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            name: jax.ShapeDtypeStruct((self.batch_size, *one.shape), one.dtype)
            for name, one in spec.items()
        }

    def train(self, start: int = 0, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """This host's rows of batches start, start + 1, ... without end.

        Host h of n has the h-th of n consecutive blocks of rows, the layout that
        jax.make_array_from_process_local_data wants, so the global batch does not depend on n. Epochs are
        permutations of the split and follow each other within a batch; with buckets each bucket has
        its own, see `order.BucketOrder`. Closing the generator ends its workers.
        Raises UsageError.
        """
        split = self._split("train")
        return split.training(self._batches, self.seed, start, host, self.repeats)

    def resident(self) -> dict[str, np.ndarray] | None:
        """The training split as arrays, if it is to lie on the device (`on_device`); else None."""
        wanted = jax.default_backend() != "cpu" if self.on_device is None else self.on_device
        arrays = self._split("train").arrays if wanted else None
        whole = None if arrays is None else arrays.whole
        if whole is None and self.on_device:
            raise UsageError(
                f"on_device=True: {self.info().name!r} is not held in memory in one bucket"
            )
        return None if whole is None else dict(whole)

    def rows(self, start: int = 0, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """The batches of `train` as {"row": int32 [b]}, positions in the arrays of `resident`."""
        split = self._split("train")
        return split.rows(self._batches, self.seed, start, host, self.repeats)

    def examples(self, split: str, host: Host = (0, 1)) -> Generator[Batch, None, None]:
        """This host's rows of every example of "train" or "test", once, with "valid" float32 and "index" int32 [b].

        Through the evaluation transform, bucket by bucket, in the split's order within each. All hosts
        yield as many batches, all full: where a bucket is used up its last example is repeated with valid 0.
        An example whose file is broken has a neighbour in its place with valid 0, and there "broken"
        float32 [b] is 1. "index" is the example's position in the split. Layout of hosts and errors as in train.
        """
        return self._split(split, evaluated=True).evaluation(self._batches, host)

    def pick(self, split: str, positions: Sequence[int]) -> Iterator[tuple[int, Batch]]:
        """(position, its example as a batch of one row) for some positions of "train" or "test".

        As `examples` gives it, in the order asked for; broken examples are left out.
        """
        load = self._split(split, evaluated=True).streamed
        for position in positions:
            try:
                arrays = load.read(position, np.random.default_rng(0))
            except BrokenExampleError:
                continue
            arrays |= {"valid": np.float32(1), "index": np.int32(position)}
            yield position, {name: np.asarray(value)[None] for name, value in arrays.items()}

    def broken(self) -> tuple[str, ...]:
        """A line about each file that was broken so far in this process, with its name, and about
        each faulty annotation that its set left out."""
        files = (line for faults in self._faults.values() for line in faults.values())
        return (*self._origin.faults(), *files)

    @property
    def _batches(self) -> Batches:
        threads = self.threads or decoding_threads(self.workers)
        return Batches(self.batch_size, self.eval_batch_size, self.workers, threads)

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel of the training split, for `normalisation.Normalize`.

        Raises UsageError for a set that is not held in memory.
        """
        arrays = self._split("train").arrays
        if arrays is None or arrays.whole is None:
            raise UsageError(f"dataset={self.info().name!r}: not held in memory; give mean and std")
        return normalisation.channel_statistics(arrays.whole["image"])

    def normalize(self) -> normalisation.Normalize:
        """The published statistics of CIFAR-10 and ImageNet, those of the training split otherwise."""
        published = {"cifar10": normalisation.CIFAR10, "imagenet2012": normalisation.IMAGENET}
        if isinstance(self.dataset, str) and self.dataset in published:
            return published[self.dataset]
        return normalisation.Normalize(*self.channel_statistics())

    def smoke(self) -> "ImageData":
        """A few made-up examples in batches of 32 at most.

        See `made_up.made_up` for examples of other kinds than labelled images.
        """
        batch = min(32, self.batch_size)
        splits = self._split("train"), self._split("test")
        kinds = [split.transforms for split in splits]
        dataset, transforms = made_up(self.info(), kinds, [split.specs for split in splits], batch)
        return dataclasses.replace(
            self,
            dataset=dataset,
            batch_size=batch,
            eval_batch_size=batch,
            train_transform=transforms[0],
            eval_transform=transforms[1],
            train_split="train",
            test_split="test",
            val_split=None if self.val_split is None else "test",
            workers=0,
            transform_once=False,
        )

    @functools.cached_property
    def _origin(self) -> Origin:
        return Origin(self.dataset, self.data_dir)

    @functools.cached_property
    def _splits(self) -> dict[tuple[str, bool], Split]:
        return {}

    def _split(self, name: str, evaluated: bool | None = None) -> Split:
        """A split by its name here, `evaluated` through the evaluation transform, by default all but "train"."""
        names = {"train": self.train_split, "test": self.test_split, "val": self.val_split}
        if names.get(name) is None:
            known = ", ".join(repr(one) for one, stored in names.items() if stored is not None)
            raise UsageError(f"split={name!r}: expected one of {known}")
        evaluated = name != "train" if evaluated is None else evaluated
        transform = self.eval_transform if evaluated else self.train_transform
        if (name, evaluated) not in self._splits:
            stored = str(names[name])
            faults = self._faults.setdefault(name, {})
            once = self.transform_once
            split = Split(self._origin, stored, transform, once, title=name, faults=faults)
            self._splits[name, evaluated] = split
        return self._splits[name, evaluated]

    @functools.cached_property
    def _faults(self) -> dict[str, dict[int, str]]:
        """A line about each broken example, by split and position."""
        return {}
