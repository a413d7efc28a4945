"""The input pipeline, compared with decoding alone, Pillow alone and torch's loader."""

import contextlib
import dataclasses
import importlib.util
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import jax

from jresnet.benchmark.decoding import PillowCrop, ReadAndTransform, alone, on_all_cores
from jresnet.benchmark.input_sets import InputSet, Kind
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
PIPELINE = "pipeline"
PEERS: dict[Kind, str] = {
    "boxes": "torchvision VOCDetection",
    "maps": "torchvision VOCSegmentation",
    "clips": "torchvision Kinetics",
}
NEEDED: dict[Kind, tuple[str, ...]] = {
    "boxes": ("torchvision",),
    "maps": ("torchvision",),
    "clips": ("torchvision", "torchcodec"),
}
_FILES = 256


class Measured(NamedTuple):
    """The median rate of the turns on a number of cores, None for a peer that is not installed, and
    the slowest and the fastest."""

    rate: float | None
    cores: int
    slowest: float | None = None
    fastest: float | None = None


class Contestant(NamedTuple):
    """A rate to be entered, None for a peer that is not installed, and its number of cores."""

    rate: AbstractContextManager[Rate] | None
    cores: int


def measure(
    contestants: Mapping[str, Contestant], repeats: int, seconds: float
) -> dict[str, Measured]:
    """Rates of all contestants, by name, over `repeats` turns of `seconds` each."""
    with contextlib.ExitStack() as stack:
        rates = {
            name: stack.enter_context(one.rate)
            for name, one in contestants.items()
            if one.rate is not None
        }
        measured = in_turns(rates, repeats, seconds)
    return {
        name: Measured(statistics.median(turns), one.cores, min(turns), max(turns))
        if (turns := measured.get(name))
        else Measured(None, one.cores)
        for name, one in contestants.items()
    }


def pipelines(data: ImageData, settings: Sequence[tuple[int, int]]) -> dict[str, Contestant]:
    """The pipeline of `data` with each of `settings`, numbers of workers and of threads."""
    return {
        f"{PIPELINE}, {workers} workers of {threads} threads": Contestant(
            pipeline(dataclasses.replace(data, workers=workers, threads=threads)), cores()
        )
        for workers, threads in settings
    }


def of_images(
    data: ImageData, settings: Sequence[tuple[int, int]], peers: bool = True
) -> dict[str, Contestant]:
    """Decoding alone, the pipeline and its peers, for images with their classes.

    Decoding alone and the peers are there if the data has a RandomResizedCrop and its images are
    files.

    Args:
        data: the data set.
        settings: numbers of workers and of threads for the pipeline.
        peers: whether Pillow alone and torch's loader are there too.
    """
    count, crop = cores(), data.train_transform
    result: dict[str, Contestant] = {}
    if isinstance(crop, RandomResizedCrop) and (held := files(data)):
        pillow = PillowCrop(crop)
        result[ALONE] = Contestant(nullcontext(alone(held, crop)), 1)
        if peers:
            result[PILLOW] = Contestant(nullcontext(alone(held, pillow)), 1)
        result[ALL_CORES] = Contestant(on_all_cores(held, crop, count), count)
        if peers and importlib.util.find_spec("torch"):
            from jresnet.benchmark.torch_input import loader

            batches = loader(data.source("train"), pillow, data.batch_size, count)
            result[TORCH] = Contestant(batches, count)
        elif peers:
            result[f"{TORCH}: not installed"] = Contestant(None, count)
    return result | pipelines(data, settings)


def of_set(
    chosen: InputSet, settings: Sequence[tuple[int, int]], peers: bool = True
) -> dict[str, Contestant]:
    """Reading alone, the pipeline and torchvision's loader, for a set that was made.

    Examples are read, scaled and cut. Mirror images are no part of it: training makes them on the
    device.

    Args:
        chosen: a set of any kind.
        settings: numbers of workers and of threads for the pipeline.
        peers: whether torch's or torchvision's loader is there too.
    """
    if chosen.kind == "images":
        return of_images(chosen.data, settings, peers)
    count, source = cores(), chosen.data.source("train")
    numbers, read = range(len(source)), ReadAndTransform(source, chosen.data.train_transform)
    result = {
        ALONE: Contestant(nullcontext(alone(numbers, read)), 1),
        ALL_CORES: Contestant(on_all_cores(numbers, read, count), count),
    }
    if peers and all(map(importlib.util.find_spec, NEEDED[chosen.kind])):
        from jresnet.benchmark import torch_sets

        result[PEERS[chosen.kind]] = Contestant(torch_sets.loader(chosen, count), count)
    elif peers:
        result[f"{PEERS[chosen.kind]}: not installed"] = Contestant(None, count)
    return result | pipelines(chosen.data, settings)


def by_work(chosen: InputSet) -> dict[str, Contestant]:
    """One thread of this package and one of torchvision, by the CPU time that they take.

    A busy machine hardly changes these rates.
    """
    source = chosen.data.source("train")
    numbers, clock = range(len(source)), time.process_time
    read = ReadAndTransform(source, chosen.data.train_transform)
    result = {ALONE: Contestant(nullcontext(alone(numbers, read, clock)), 1)}
    name = f"{PEERS[chosen.kind]}, one thread"
    if not all(map(importlib.util.find_spec, NEEDED[chosen.kind])):
        return result | {f"{name}: not installed": Contestant(None, 1)}
    from jresnet.benchmark import torch_sets

    return result | {name: Contestant(torch_sets.one_thread(chosen, clock), 1)}


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


def table(
    measured: Mapping[str, Measured], unit: str = "image"
) -> tuple[list[str], list[list[str | None]]]:
    """Headers and rows: images/s, images/s for each core, and shares of decoding alone."""
    headers = ["", f"{unit}s/s", "per core", "of cores x alone", "of all cores at once"]
    rows = []
    for name, (rate, on, *_) in measured.items():
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
