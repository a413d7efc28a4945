"""Batches out of a loader by number, by Grain: shuffled without end, or every example once."""

import dataclasses
from collections.abc import Generator
from typing import Any

import grain
from absl import flags

from jresnet.data.arrays import Arrays
from jresnet.data.load import Batch, Load
from jresnet.errors import UsageError

# (index of this host, number of hosts)
Host = tuple[int, int]

# Without end, but for Grain, whose own endless repeat overflows with one row per host.
_EPOCHS = 1 << 30


@dataclasses.dataclass(frozen=True)
class Batches:
    """Sizes are global, over all hosts; threads and workers as in `pipeline.ImageData`."""

    batch_size: int
    eval_batch_size: int
    workers: int = 0
    threads: int = 1

    def training(
        self,
        load: Arrays | Load,
        size: int,
        seed: int,
        host: Host,
        start: int,
        repeats: int = 1,
    ) -> Generator[Batch, None, None]:
        """Batches start, start + 1, ... of an endless row of permutations of `size` examples.

        Each example stands there `repeats` times in a row.
        """
        rows = _rows_per_host("batch_size", self.batch_size, host)
        order = grain.MapDataset.range(size).seed(seed).shuffle().repeat(_EPOCHS)
        if repeats > 1:
            order = _InARow(order, repeats)
        return self._cut(order, load, rows, seed, host, start)

    def evaluation(
        self, load: Arrays | Load, size: int, host: Host
    ) -> Generator[Batch, None, None]:
        """Every example once and in order, padded with mask 0 to full batches."""
        rows = _rows_per_host("eval_batch_size", self.eval_batch_size, host)
        load = dataclasses.replace(load, masked=True)
        padded = -(-size // self.eval_batch_size) * self.eval_batch_size
        return self._cut(grain.MapDataset.range(padded), load, rows, 0, host, 0)

    def _cut(
        self,
        positions: grain.MapDataset,
        load: Arrays | Load,
        rows: int,
        seed: int,
        host: Host,
        start: int,
    ) -> Generator[Batch, None, None]:
        if isinstance(load, Arrays):
            # Whole batches of indices: six times faster than example by example. Threads would only wait for the GIL.
            batches = positions.batch(rows)[host[0] :: host[1]][start:].map(load)
            return _iterate(batches, threads=0, workers=0)
        # Transformed before the hosts part ways, so that an image gets the same random numbers on any of them.
        examples = positions.random_map(load, seed=seed)
        return _iterate(
            examples.batch(rows)[host[0] :: host[1]][start:], self.threads, self.workers
        )


class _InARow(grain.MapDataset):
    """Every element of a dataset `repeats` times."""

    def __init__(self, parent: grain.MapDataset, repeats: int):
        super().__init__(parent)
        self._repeats = repeats

    def __len__(self) -> int:
        return len(self._parent) * self._repeats

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.slice(index)
        return self._parent[index // self._repeats]


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
