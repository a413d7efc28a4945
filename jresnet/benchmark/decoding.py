"""Decoding and cropping alone: the upper limit of an input pipeline. Imports little."""

import contextlib
import dataclasses
import io
import itertools
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from jresnet.benchmark.rates import Rate, images_per_second
from jresnet.data.crops import RandomResizedCrop
from jresnet.data.decoders import FORMATS
from jresnet.data.info import Source

Transform = Callable[[Any, np.random.Generator], Any]


@dataclasses.dataclass(frozen=True)
class PillowCrop:
    """The same crop by Pillow alone, as in torchvision: decode all of the image, cut, resize."""

    crop: RandomResizedCrop

    def __call__(self, data: bytes, rng: np.random.Generator) -> np.ndarray:
        """An image file to uint8 [size, size, 3]."""
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            image = opened.convert("RGB")
        top, left, height, width = self.crop.box(image.height, image.width, rng)
        cut = image.crop((left, top, left + width, top + height))
        return np.array(cut.resize((self.crop.size, self.crop.size), Image.Resampling.BILINEAR))


@dataclasses.dataclass(frozen=True)
class ReadAndTransform:
    """Examples of a source by their numbers, read from its files and transformed."""

    source: Source
    transform: Any

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """The example as it is batched."""
        return self.transform(self.source[index], rng)


def alone(
    files: Sequence[Any], transform: Transform, clock: Callable[[], float] = time.perf_counter
) -> Rate:
    """The rate of one thread that transforms files in memory, or whatever `transform` takes."""
    turn, rng = itertools.cycle(files), np.random.default_rng(0)

    def step() -> int:
        transform(next(turn), rng)
        return 1

    return lambda seconds: images_per_second(step, seconds, clock)


@contextlib.contextmanager
def on_all_cores(files: Sequence[Any], transform: Transform, cores: int) -> Iterator[Rate]:
    """`alone` in one process a core, all at the same time; their rates add up."""
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(cores, timeout=120)
    with ProcessPoolExecutor(
        cores, spawn, initializer=_hold, initargs=(files, transform, start)
    ) as pool:
        yield lambda seconds: sum(pool.map(_rate, [seconds] * cores))


_held: tuple[Rate, threading.Barrier]


def _hold(files: Sequence[Any], transform: Transform, start: threading.Barrier) -> None:
    global _held
    _held = alone(files, transform), start


def _rate(seconds: float) -> float:
    rate, start = _held
    start.wait()
    return rate(seconds)
