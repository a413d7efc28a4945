"""The data that the loop asks for."""

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np

HostBatch = dict[str, np.ndarray]
Shapes = Mapping[str, jax.ShapeDtypeStruct]


class Data(Protocol):
    """Batches by number, so that the position in the data is the step number."""

    @property
    def batch_size(self) -> int: ...

    @property
    def eval_batch_size(self) -> int: ...

    def check(self) -> None:
        """Raises UsageError for whatever would stop it later."""
        ...

    @property
    def example_batch(self) -> Shapes:
        """Shapes and types of one global training batch."""
        ...

    def train(self, start: int, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """Batches `start, start + 1, ...` without end; of each the rows of host (index, count)."""
        ...

    def examples(self, split: str, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """Every example of a split once; the last batch of a shape is padded, with `valid` 0 there.

        A row that stands for an example whose file is broken has `valid` 0 and `broken` 1. `index`
        is the number of the row's example in the split.
        """
        ...

    def size(self, split: str) -> int:
        """Number of examples."""
        ...

    def broken(self) -> Sequence[str]:
        """A line about each file that was broken so far, with its name."""
        ...


@runtime_checkable
class ManyShapes(Protocol):
    """Data whose batches come in several shapes: examples of mixed size, in buckets."""

    @property
    def example_batches(self) -> Sequence[Shapes]:
        """Shapes and types of the global training batches, one of each shape."""
        ...


def batch_shapes(data: Data) -> list[Shapes]:
    """Shapes and types of the global training batches of any data, one of each shape."""
    return list(data.example_batches) if isinstance(data, ManyShapes) else [data.example_batch]


@runtime_checkable
class Resident(Protocol):
    """Data whose training examples can lie on the device."""

    def resident(self) -> Mapping[str, np.ndarray] | None:
        """All training examples, each array `[examples, ...]`; None: they are to be given batch by batch."""
        ...

    def rows(self, start: int, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """The batches that `train` gives, as {"row": int32 `[batch]`}: where their examples lie."""
        ...


@runtime_checkable
class ForDevices(Protocol):
    """Data whose batches can be made to divide among devices."""

    def for_devices(self, devices: int) -> Data:
        """The data with such batches; the data themselves where nothing is to be changed."""
        ...


def for_devices(data: Data, devices: int) -> Data:
    """Data for so many devices, if they know how to change; the rest is checked later."""
    return data.for_devices(devices) if isinstance(data, ForDevices) and devices > 1 else data


def called(data: Data, field: str) -> str:
    """The name under which a user of the data knows `batch_size` or `eval_batch_size`.

    Data that call a batch something else, such as worlds that are played at once, say so in
    `argument_names`.
    """
    names: Mapping[str, str] = getattr(data, "argument_names", {})
    return names.get(field, field)


def changes_for_devices(before: Data, after: Data, devices: int) -> str:
    """The change that `for_devices` made, in one line; empty if there is none."""
    pairs = {
        called(before, "batch_size"): (before.batch_size, after.batch_size),
        called(before, "eval_batch_size"): (before.eval_batch_size, after.eval_batch_size),
    }
    words = [
        f"{name} {one} becomes {other}" for name, (one, other) in pairs.items() if one != other
    ]
    return f"{', '.join(words)}, filled up for {devices} devices" if words else ""
