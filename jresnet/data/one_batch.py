"""The same few pictures in every batch, for tasks whose parameters are pictures."""

import dataclasses
from collections.abc import Generator, Sequence

import jax
import numpy as np

from jresnet.data.info import Example
from jresnet.errors import UsageError

HostBatch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class OneBatch:
    """`n` pictures that are every batch, in training and, as the split "test", in evaluation.

    A training batch has `image` uint8 `[batch, H, W, 3]`, `row` int32 `[batch]`, the picture's
    number, and `share` float32 `[batch]`. A batch larger than `n` repeats the pictures in turn, so
    that it can be spread over more devices than there are pictures: `share` is 1 divided by how
    often the picture is in the batch.

    - pictures: uint8 `[n, H, W, 3]`.
    - names: one a picture.
    - rows: pictures in a batch, at least `n`; None for `n`.
    """

    pictures: np.ndarray
    names: tuple[str, ...]
    rows: int | None = None

    def __post_init__(self) -> None:
        if not len(self.pictures) or len(self.names) != len(self.pictures):
            raise UsageError(f"names={self.names}: expected {len(self.pictures)}, at least one")

    @property
    def batch_size(self) -> int:
        """Rows of a batch."""
        return self.rows or len(self.pictures)

    @property
    def eval_batch_size(self) -> int:
        """Rows of a batch in evaluation, the same."""
        return self.batch_size

    def check(self) -> None:
        """Raises UsageError for a batch that does not hold all pictures."""
        if self.batch_size < len(self.pictures):
            raise UsageError(
                f"batch_size={self.batch_size}: expected at least {len(self.pictures)}, "
                "all pictures at once"
            )

    def for_devices(self, devices: int) -> "OneBatch":
        """The same pictures, repeated until they divide among so many devices."""
        rows = -(-self.batch_size // devices) * devices
        same = rows == self.batch_size or self.rows is not None
        return self if same else dataclasses.replace(self, rows=rows)

    @property
    def example_batch(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shapes and types of one batch."""
        return {
            name: jax.ShapeDtypeStruct(rows.shape, rows.dtype)
            for name, rows in self._batch().items()
        }

    def train(
        self, start: int = 0, host: tuple[int, int] = (0, 1)
    ) -> Generator[HostBatch, None, None]:
        """This host's rows of the batch, without end."""
        del start
        batch = _part(self._batch(), host)
        while True:
            yield dict(batch)

    def examples(
        self, split: str, host: tuple[int, int] = (0, 1)
    ) -> Generator[HostBatch, None, None]:
        """The pictures once, padded to one full batch by rows with `valid` 0."""
        del split
        batch = self._batch()
        places = np.arange(self.batch_size)
        batch["valid"] = (places < len(self.pictures)).astype(np.float32)
        batch["index"] = batch["row"]
        yield _part(batch, host)

    def size(self, split: str) -> int:
        """Number of pictures."""
        del split
        return len(self.pictures)

    def source(self, split: str) -> "OneBatchSource":
        """The pictures by number."""
        del split
        return OneBatchSource(self.pictures, self.names)

    def broken(self) -> Sequence[str]:
        """No lines: pictures are in memory."""
        return ()

    def smoke(self) -> "OneBatch":
        """The same: there is nothing to read."""
        return self

    def _batch(self) -> HostBatch:
        rows = np.arange(self.batch_size, dtype=np.int32) % len(self.pictures)
        share = (1 / np.bincount(rows)[rows]).astype(np.float32)
        return {"image": self.pictures[rows], "row": rows, "share": share}


@dataclasses.dataclass(frozen=True, eq=False)
class OneBatchSource:
    """The pictures of a `OneBatch`, by number."""

    pictures: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Example:
        return {"image": self.pictures[index]}

    def describe(self, index: int) -> str:
        """The picture's name."""
        return self.names[index]


def _part(batch: HostBatch, host: tuple[int, int]) -> HostBatch:
    number, count = host
    each = len(batch["row"]) // count
    return {name: rows[number * each : (number + 1) * each] for name, rows in batch.items()}
