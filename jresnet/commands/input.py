"""`input`: how many images a second the input pipeline gives by itself."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro
from tyro.conf import Positional

from jresnet.benchmark.input import by_work, measure, of_set, table
from jresnet.benchmark.input_sets import (
    BATCHES,
    CLIP,
    COUNTS,
    CROP,
    JITTER,
    InputSet,
    Kind,
    classified,
    made_up_set,
)
from jresnet.data import images
from jresnet.data.cores import cores, decoding_threads
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.report.text import format_table
from jresnet.run.ranges import check_fields
from jresnet.text import shown


@dataclasses.dataclass(kw_only=True)
class Input:
    dataset: Positional[str | None] = None
    """A folder of class folders or tars, or a TFDS name; by default photographs made for this."""
    kind: Kind = "images"
    """images with their classes; or, of a set made for this, images with boxes or label maps, or clips of films."""
    photos: int | None = None
    """How many photographs, or films, to make where no dataset is given; by default 1024, of the other kinds fewer."""
    workers: tuple[int, ...] = dataclasses.field(default_factory=lambda: (0, cores()))
    """Numbers of processes to measure with; 0: in this one."""
    threads: tuple[int, ...] = ()
    """In each process; several are measured with each number of workers. By default as a training has them."""
    batch_size: int | None = None
    """Images or clips a batch; by default 32 images, 16 with boxes or maps, or 8 clips."""
    image_size: int | None = 224
    """Side of the random crop of images with classes; None: images as they are, which must be of one size."""
    work: bool = False
    """Measure one thread alone, here and in torchvision, by CPU time, which a busy machine hardly changes."""
    seconds: float = 10.0
    """How long to measure each row of the table, in all its turns."""
    repeats: int = 3
    """Turns; the table has their median."""
    data_dir: Path | None = None
    """Where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets."""


def measure_input(argv: Sequence[str]) -> int:
    """Images per second of the input pipeline alone: reading, decoding, cropping, to the device.

    `input`, or `input /data/imagenet --workers 0 8 16`

    Beside it what it could give at most, decoding and cropping files that lie in memory, by one thread and by one
    process a core; Pillow alone; and torch's DataLoader where torch is installed. All of them in turns. Without a
    dataset, on JPEGs of ImageNet's typical size, made of scikit-learn's two photographs in a temporary folder.

    `input --kind boxes`, `--kind maps` and `--kind clips` read sets that are made, beside the sets and transforms of
    torchvision, where that is installed: VOCDetection, VOCSegmentation and, with torchcodec, Kinetics. Both sides
    read, decode, scale, cut and batch alike. Neither makes mirror images: a training here makes them on the device.

    A training whose images/s is about the same is bound by its input; timing.jsonl of a run says in which share of
    its time it waited.
    """
    flags = tyro.cli(Input, args=list(argv), prog="python -m jresnet input")
    check_fields(flags)
    check(flags)
    size = flags.batch_size or BATCHES[flags.kind]
    with contextlib.ExitStack() as stack:
        if flags.dataset is None:
            count = flags.photos or COUNTS[flags.kind]
            chosen = stack.enter_context(made_up_set(flags.kind, count, size, flags.image_size))
        else:
            chosen = InputSet("images", opened(flags, size), flags.dataset, Path(flags.dataset))
        settings = [
            (workers, threads)
            for workers in flags.workers
            for threads in flags.threads or (decoding_threads(workers),)
        ]
        for workers, threads in settings:
            dataclasses.replace(chosen.data, workers=workers, threads=threads).check()
        print(
            f"{shown(chosen.about)}: {chosen.data.size('train'):,} examples to train on, "
            + (f"{cut}, " if (cut := cuts(flags)) else "")
            + f"batches of {size}, "
            + f"JPEGs by {'Pillow' if images.simplejpeg is None else 'simplejpeg'}, {cores()} CPU cores"
        )
        contestants = by_work(chosen) if flags.work else of_set(chosen, settings)
        rates = measure(contestants, flags.repeats, flags.seconds / flags.repeats)
    print(format_table(*table(rates, chosen.unit)))
    return 0


def opened(flags: Input, batch_size: int) -> ImageData:
    """The pipeline of the user's own set."""
    assert flags.dataset is not None
    return classified(flags.dataset, batch_size, flags.image_size, data_dir=flags.data_dir)


def cuts(flags: Input) -> str:
    """The part of an image or a film that is taken, in words."""
    if flags.kind == "clips":
        return f"{CLIP.frames} frames of {CLIP.size[0]}, every other one"
    if flags.kind != "images":
        return f"scaled by {JITTER[0]} to {JITTER[1]}, random crops of {CROP}"
    return f"random crops of {flags.image_size}" if flags.image_size else ""


def check(flags: Input) -> None:
    """Raises UsageError for what can be seen from the flags alone."""
    if not flags.workers:
        raise UsageError("workers=(): expected at least one number")
    if flags.kind != "images" and flags.dataset is not None:
        raise UsageError(f"kind={flags.kind}: expected no dataset, its set is made")
    if flags.work and flags.kind == "images":
        raise UsageError("work=True: expected a kind of boxes, maps or clips with it")
    if flags.photos is None:
        return
    if flags.dataset is not None:
        raise UsageError(f"photos={flags.photos}: expected either a dataset or photos, not both")
    least = max(2, flags.batch_size or BATCHES[flags.kind])
    if flags.photos < least:
        raise UsageError(f"photos={flags.photos}: expected at least {least}, a batch")
