"""What the loop asks of data."""

from collections.abc import Generator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np

HostBatch = dict[str, np.ndarray]


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
    def example_batch(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one global training batch."""
        ...

    def train(self, start: int, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """Batches `start, start + 1, ...` without end; of each the rows of host (index, count)."""
        ...

    def examples(self, split: str, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """Every example of a split once; the last batch is padded, with `valid` 0 there.

        A row that stands for an example whose file is broken has `valid` 0 and `broken` 1. `index`
        is the number of the row's example in the split.
        """
        ...

    def size(self, split: str) -> int:
        """Number of examples."""
        ...

    def broken(self) -> Sequence[str]:
        """What is wrong with each file found broken so far, with its name."""
        ...


@runtime_checkable
class Resident(Protocol):
    """Data whose training examples can lie on the device."""

    def resident(self) -> Mapping[str, np.ndarray] | None:
        """All training examples, each array `[examples, ...]`; None: they are to be given batch by batch."""
        ...

    def rows(self, start: int, host: tuple[int, int]) -> Generator[HostBatch, None, None]:
        """The batches that `train` gives, as {"row": int32 `[batch]`}: where their examples lie."""
        ...
