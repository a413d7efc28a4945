"""The input pipeline, compared with decoding alone, Pillow alone and torch's loader."""

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from jresnet.benchmark.decoding import PillowCrop, alone, on_all_cores
from jresnet.benchmark.rates import Loader, Rate, in_turns
from jresnet.data import images
from jresnet.data.cores import cores, decoding_threads
from jresnet.data.crops import RandomResizedCrop
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError

ALONE = "decoding and cropping alone, one thread"
ALL_CORES = "the same on all cores at once"
PILLOW = "Pillow alone, one thread"
TORCH = "torch DataLoader over Pillow"
_FILES = 256


class Measured(NamedTuple):
    """Images/s on a number of cores; None for a peer that is not installed."""

    rate: float | None
    cores: int


def measure(
    data: ImageData, settings: Sequence[tuple[int, int]], repeats: int, seconds: float
) -> dict[str, Measured]:
    """Rates of decoding alone, of the pipeline and of its peers, measured in turns.

    Decoding alone and the peers are measured if the data has a RandomResizedCrop and its images are
    files.

    Args:
        data: the data set.
        settings: numbers of workers and of threads for the pipeline.
        repeats: turns.
        seconds: length of each.

    Returns:
        Rates by the name of the contestant.
    """
    count, crop = cores(), data.train_transform
    used: dict[str, int] = {}
    contestants: dict[str, Rate] = {}
    with contextlib.ExitStack() as stack:

        def enter(name: str, rate: Rate, on: int = count) -> None:
            contestants[name], used[name] = rate, on

        held = files(data) if isinstance(crop, RandomResizedCrop) else []
        if held and isinstance(crop, RandomResizedCrop):
            pillow = PillowCrop(crop)
            enter(ALONE, alone(held, crop), 1)
            enter(PILLOW, alone(held, pillow), 1)
            enter(ALL_CORES, stack.enter_context(on_all_cores(held, crop, count)))
            if importlib.util.find_spec("torch"):
                from jresnet.benchmark.torch_input import loader

                batches = loader(data.source("train"), pillow, data.batch_size, count)
                enter(TORCH, stack.enter_context(batches))
            else:
                used[f"{TORCH}: not installed"] = count
        for workers, threads in settings:
            variant = dataclasses.replace(data, workers=workers, threads=threads)
            name = f"pipeline, {workers} workers of {threads} threads"
            enter(name, stack.enter_context(pipeline(variant)))
        measured = in_turns(contestants, repeats, seconds)
    return {name: Measured(measured.get(name), on) for name, on in used.items()}


@contextlib.contextmanager
def pipeline(data: ImageData) -> Iterator[Loader]:
    """Training batches on the device; the loader waits for each after it has sent the next one."""
    # Batches in preparation: one a thread in each process, and four a worker between processes.
    threads = data.threads or decoding_threads(data.workers)
    ahead = max(1, data.workers) * threads + 4 * data.workers
    with contextlib.closing(data.train()) as batches:
        before = None

        def take() -> None:
            nonlocal before
            batch = jax.device_put(next(batches))
            jax.block_until_ready(before)
            before = batch

        yield Loader(take, data.batch_size, ahead)


def files(data: ImageData) -> list[bytes]:
    """The first files of the training split that can be decoded, at most 256.

    Empty if images are not files. Raises UsageError if no file can be decoded.
    """
    source = data.source("train")
    held = []
    for index in range(min(_FILES, len(source))):
        file = source[index]["image"]
        if not isinstance(file, bytes):
            return []
        with contextlib.suppress(images.DecodeError):
            images.decode(file)
            held.append(file)
    if not held:
        raise UsageError(
            f"dataset={data.info().name!r}: none of its first {_FILES} files is readable"
        )
    return held


def table(measured: dict[str, Measured]) -> tuple[list[str], list[list[str | None]]]:
    """Headers and rows: images/s, images/s for each core, and shares of decoding alone."""
    headers = ["", "images/s", "per core", "of cores x alone", "of all cores at once"]
    rows = []
    for name, (rate, on) in measured.items():
        cells = [
            None if rate is None else f"{value:.0f}" for value in (rate or 0, (rate or 0) / on)
        ]
        rows.append(
            [
                name,
                *cells,
                *(share(rate, on, measured.get(name_alone)) for name_alone in (ALONE, ALL_CORES)),
            ]
        )
    return headers, rows


def share(rate: float | None, on: int, reference: Measured | None) -> str | None:
    """A rate for each core in per cent of the reference's."""
    if rate is None or reference is None or reference.rate is None:
        return None
    return f"{rate / on / (reference.rate / reference.cores):.0%}"
