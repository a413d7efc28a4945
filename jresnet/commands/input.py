"""`input`: how many images a second the input pipeline gives by itself."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from jresnet.data import images
from jresnet.data.imagenet import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.report.text import format_table


@dataclasses.dataclass(kw_only=True)
class Input:
    dataset: Positional[str]
    """A folder of class folders or tars, or a TFDS name."""
    workers: tuple[int, ...] = dataclasses.field(default_factory=lambda: (0, os.cpu_count() or 1))
    """Numbers of processes to measure with; 0: in this one."""
    threads: int = 8
    """In each process."""
    batch_size: int = 32
    """Images a batch."""
    image_size: int | None = 224
    """Side of the random crop; None: images as they are, which must be of one size."""
    seconds: float = 10.0
    """How long to measure with each number of workers."""
    data_dir: Path | None = None
    """Where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""


def measure_input(argv: Sequence[str]) -> int:
    """Images per second of the input pipeline alone, reading, decoding and cropping, for several numbers of workers.

    `input /data/imagenet --workers 0 8 16`

    A training whose images/s is about the same is bound by its input; timing.jsonl of a run says in which share of
    its time it waited.
    """
    flags = tyro.cli(Input, args=list(argv), prog="python -m jresnet input")
    if flags.seconds <= 0 or not flags.workers:
        raise UsageError(
            f"seconds={flags.seconds}, workers={flags.workers}: expected more than 0 s, and a number"
        )
    crop = flags.image_size
    data = ImageData(
        flags.dataset,
        flags.batch_size,
        data_dir=flags.data_dir,
        threads=flags.threads,
        train_transform=RandomResizedCrop(crop) if crop else None,
        eval_transform=ResizeCenterCrop(crop, crop) if crop else None,
    )
    contestants = [dataclasses.replace(data, workers=workers) for workers in flags.workers]
    for measured in contestants:
        measured.check()
    print(
        f"{flags.dataset}: {data.size('train'):,} examples to train on, "
        + (f"random crops of {crop}, " if crop else "")
        + f"JPEGs by {'Pillow' if images.simplejpeg is None else 'simplejpeg'}, {os.cpu_count()} CPUs"
    )
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    bare = decoder_rate(data, flags.seconds) if crop else None
    if bare:
        print(
            f"decoding and cropping alone, from memory: {bare:.0f} images/s on one of {cores} cores"
        )
    rows = []
    for measured in contestants:
        first, rate = input_rate(measured, flags.seconds)
        share = f"{rate / (bare * cores):.0%}" if bare else None
        rows.append((str(measured.workers), f"{rate:.0f}", share, f"{first:.1f}"))
    headers = ("workers", "images/s", f"of {cores} x decoding alone", "first batch after s")
    print(format_table(headers, rows))
    return 0


def decoder_rate(data: ImageData, seconds: float, files: int = 256) -> float:
    """Images/s of one thread that does nothing but transform files it holds in memory."""
    source, transform = data.source("train"), data.train_transform
    assert transform is not None
    rng = np.random.default_rng(0)

    def readable(file: np.ndarray | bytes) -> bool:
        try:
            transform(file, rng)
        except images.DecodeError:
            return False
        return True

    held = [source[i]["image"] for i in range(min(files, len(source)))]
    held = [file for file in held if readable(file)]
    if not held:
        raise UsageError(
            f"dataset={data.info().name!r}: none of its first {files} files is readable"
        )
    begun, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begun) < seconds or not count:
        transform(held[count % len(held)], rng)
        count += 1
    return count / passed


def input_rate(data: ImageData, seconds: float) -> tuple[float, float]:
    """Seconds to the first training batch, and images/s over the given time thereafter."""
    begun = time.perf_counter()
    with contextlib.closing(data.train()) as batches:
        next(batches)
        first = time.perf_counter() - begun
        # Threads finish their first batches all at once, and workers filled their buffers while others started.
        for _ in range(data.threads + 2 * data.workers):
            next(batches)
        begun, count = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < seconds or not count:
            next(batches)
            count += data.batch_size
    return first, count / passed
