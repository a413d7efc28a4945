"""Batches by number: shuffled without end, or every example once; what is not in memory by Grain."""

import dataclasses
import itertools
import signal
from collections.abc import Generator, Sequence
from multiprocessing import resource_tracker
from typing import Any

import grain
import numpy as np
from absl import flags

from jresnet.data.arrays import Arrays
from jresnet.data.load import Batch, Load
from jresnet.data.order import BucketOrder, Order, training_order
from jresnet.errors import UsageError

Positions = Sequence[int] | Order | BucketOrder
# (index of this host, number of hosts)
Host = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Batches:
    """Sizes are global, over all hosts; threads and workers as in `pipeline.ImageData`."""

    batch_size: int
    eval_batch_size: int
    workers: int = 0
    threads: int = 1

    def training(
        self, load: Arrays | Load, seed: int, host: Host, start: int, repeats: int = 1
    ) -> Generator[Batch, None, None]:
        """Batches start, start + 1, ... of the endless `order.training_order`.

        Each example stands there `repeats` times in a row.
        """
        rows = _rows_per_host("batch_size", self.batch_size, host)
        order = training_order(load.buckets, self.batch_size, seed, repeats)
        return self._cut(order, load, rows, seed, host, start)

    def evaluation(self, load: Arrays | Load, host: Host) -> Generator[Batch, None, None]:
        """Every example once, bucket by bucket and in order, padded with valid 0 to full batches."""
        rows = _rows_per_host("eval_batch_size", self.eval_batch_size, host)
        load = dataclasses.replace(load, marked=True)
        positions: Any = load.buckets.in_order(self.eval_batch_size)  # int [rows]
        return self._cut(positions, load, rows, 0, host, 0)

    def _cut(
        self,
        positions: Positions,
        load: Arrays | Load,
        rows: int,
        seed: int,
        host: Host,
        start: int,
    ) -> Generator[Batch, None, None]:
        if isinstance(load, Arrays):
            return _in_memory(positions, load, rows, host, start)
        # Transformed before the hosts part ways, so that an image gets the same random numbers on any of them.
        examples = grain.MapDataset.source(positions).random_map(load, seed=seed)
        return _iterate(
            examples.batch(rows)[host[0] :: host[1]][start:], self.threads, self.workers
        )


def _in_memory(
    positions: Positions, load: Arrays, rows: int, host: Host, start: int
) -> Generator[Batch, None, None]:
    """Without Grain, whose layers take longer for a position than its image does."""
    index, count = host
    for first in range((start * count + index) * rows, len(positions), count * rows):
        yield load(np.array([positions[place] for place in range(first, first + rows)]))


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
        # Workers start with the first batch, and with the signals blocked that are blocked here:
        # a terminal sends Ctrl-C to them too, and the run could not save without them.
        resource_tracker.ensure_running()  # else the first worker starts it, which unblocks them
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            first = list(itertools.islice(iterator, 1))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield from first
        yield from iterator
    finally:
        iterator.close()
