"""`input`: how many images a second the input pipeline gives by itself."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import tyro
from tyro.conf import Positional

from jresnet.benchmark.input import measure, table
from jresnet.benchmark.photos import QUALITY, SIZE, make_photos
from jresnet.data import images
from jresnet.data.cores import cores, decoding_threads
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.report.text import format_table
from jresnet.run.ranges import check_fields
from jresnet.text import shown

_PHOTOS = 1024


@dataclasses.dataclass(kw_only=True)
class Input:
    dataset: Positional[str | None] = None
    """A folder of class folders or tars, or a TFDS name; by default photographs made for this."""
    photos: int | None = None
    """How many photographs to make where no dataset is given; by default 1024."""
    workers: tuple[int, ...] = dataclasses.field(default_factory=lambda: (0, cores()))
    """Numbers of processes to measure with; 0: in this one."""
    threads: tuple[int, ...] = ()
    """In each process; several are measured with each number of workers. By default as a training has them."""
    batch_size: int = 32
    """Images a batch."""
    image_size: int | None = 224
    """Side of the random crop; None: images as they are, which must be of one size."""
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

    A training whose images/s is about the same is bound by its input; timing.jsonl of a run says in which share of
    its time it waited.
    """
    flags = tyro.cli(Input, args=list(argv), prog="python -m jresnet input")
    check_fields(flags)
    check(flags)
    with contextlib.ExitStack() as stack:
        name, about = flags.dataset, flags.dataset
        if name is None:
            name, about = stack.enter_context(made_photos(flags.photos or _PHOTOS))
        crop = flags.image_size
        data = ImageData(
            name,
            flags.batch_size,
            data_dir=flags.data_dir,
            train_transform=RandomResizedCrop(crop) if crop else None,
            eval_transform=ResizeCenterCrop(crop, crop) if crop else None,
        )
        settings = [
            (workers, threads)
            for workers in flags.workers
            for threads in flags.threads or (decoding_threads(workers),)
        ]
        for workers, threads in settings:
            dataclasses.replace(data, workers=workers, threads=threads).check()
        print(
            f"{shown(about)}: {data.size('train'):,} examples to train on, "
            + (f"random crops of {crop}, " if crop else "")
            + f"batches of {flags.batch_size}, "
            + f"JPEGs by {'Pillow' if images.simplejpeg is None else 'simplejpeg'}, {cores()} CPU cores"
        )
        rates = measure(data, settings, flags.repeats, flags.seconds / flags.repeats)
    print(format_table(*table(rates)))
    return 0


def check(flags: Input) -> None:
    """Raises UsageError for what can be seen from the flags alone."""
    if not flags.workers:
        raise UsageError("workers=(): expected at least one number")
    if flags.photos is None:
        return
    if flags.dataset is not None:
        raise UsageError(f"photos={flags.photos}: expected either a dataset or photos, not both")
    if flags.photos < max(2, flags.batch_size):
        raise UsageError(
            f"photos={flags.photos}: expected at least {max(2, flags.batch_size)}, a batch"
        )


@contextlib.contextmanager
def made_photos(count: int) -> Iterator[tuple[str, str]]:
    """A temporary dataset of that many photographs: its folder, and what it is in words."""
    with tempfile.TemporaryDirectory() as folder:
        mean = make_photos(Path(folder), count)
        width, height = SIZE
        yield (
            folder,
            f"photographs made, JPEG, {width} x {height}, quality {QUALITY}, {mean / 1e3:.0f} kB each",
        )
