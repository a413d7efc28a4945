"""Training batches with rows several times, so that they divide among devices."""

import dataclasses
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jresnet.data.info import Info, Source

HostBatch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Copied:
    """`data`, an `ImageData`, with each row of a training batch `copies` times, one after the other.

    Means over a batch stay, and so do losses, gradients and statistics that are such means; what is
    drawn for each row differs. The set is not put on devices as a whole.
    """

    data: Any
    copies: int

    @property
    def batch_size(self) -> int:
        """Rows of a training batch, with the copies."""
        return self.copies * self.data.batch_size

    @property
    def eval_batch_size(self) -> int:
        """Rows of an evaluation batch, which has no copies."""
        return self.data.eval_batch_size

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one training batch."""
        return {
            name: jax.ShapeDtypeStruct((self.copies * rows.shape[0], *rows.shape[1:]), rows.dtype)
            for name, rows in self.data.example_batch.items()
        }

    def check(self) -> None:
        """Raises UsageError as the data do."""
        self.data.check()

    def info(self) -> Info:
        """Facts about the set."""
        return self.data.info()

    def train(self, start: int = 0, host: tuple[int, int] = (0, 1)) -> Generator[HostBatch, None, None]:  # fmt: skip
        """This host's rows of the batches from `start` on, copied."""
        for batch in self.data.train(start, host):
            yield {name: np.repeat(rows, self.copies, 0) for name, rows in batch.items()}

    def examples(self, split: str, host: tuple[int, int] = (0, 1)) -> Generator[Any, None, None]:
        """The examples of a split as the data give them."""
        return self.data.examples(split, host)

    def pick(self, split: str, positions: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Some examples as the data give them."""
        return self.data.pick(split, positions)

    def size(self, split: str) -> int:
        """Number of examples."""
        return self.data.size(split)

    def source(self, split: str) -> Source:
        """The stored examples."""
        return self.data.source(split)

    def broken(self) -> tuple[str, ...]:
        """A line about each broken file."""
        return self.data.broken()
