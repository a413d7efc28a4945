"""The peer in PyTorch: its DataLoader over Pillow; imported only where torch is installed."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch.utils.data import DataLoader, RandomSampler  # pyright: ignore[reportMissingImports]

from jresnet.benchmark.decoding import PillowCrop
from jresnet.benchmark.rates import Loader
from jresnet.data.info import Source

_BATCHES = 1 << 30


@dataclasses.dataclass(frozen=True)
class Cropped:
    """A map-style dataset: example i of the source, decoded and cropped by Pillow."""

    source: Source
    transform: PillowCrop

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        example = self.source[index]
        data = example["image"]
        assert isinstance(data, bytes)
        rng = np.random.default_rng(torch.randint(2**31, ()).item())
        return torch.from_numpy(self.transform(data, rng)), example["label"]


@contextlib.contextmanager
def loader(
    source: Source, transform: PillowCrop, batch_size: int, workers: int
) -> Iterator[Loader]:
    """Batches of cropped images, and their labels."""
    with endless(Cropped(source, transform), batch_size, workers) as batches:
        yield batches


@contextlib.contextmanager
def endless(
    examples: Any, batch_size: int, workers: int, collate: Callable[[list[Any]], Any] | None = None
) -> Iterator[Loader]:
    """Batches of a DataLoader with `workers` processes, moved to the GPU if torch has one.

    Args:
        examples: a map-style dataset.
        batch_size: examples of a batch.
        workers: processes.
        collate: a function from examples to a list of arrays; by default torch's own.
    """
    # A single endless epoch: each new epoch would begin with empty queues.
    order = RandomSampler(examples, replacement=True, num_samples=_BATCHES * batch_size)
    on_gpu = torch.cuda.is_available()
    batches = iter(
        DataLoader(
            examples,
            batch_size,
            sampler=order,
            num_workers=workers,
            collate_fn=collate,
            multiprocessing_context="spawn",  # a fork would copy jax's running threads
            pin_memory=on_gpu,
        )
    )

    def take() -> list[Any]:
        batch = next(batches)
        return [moved(part) for part in batch] if on_gpu else batch

    yield Loader(take, batch_size, 2 * workers)  # each worker prefetches two batches


def moved(part: Any) -> Any:
    """An array of a batch on the GPU; lists and dicts of arrays too."""
    if isinstance(part, dict):
        return {name: moved(value) for name, value in part.items()}
    if isinstance(part, list):
        return [moved(value) for value in part]
    return part.cuda(non_blocking=True)
