"""Sets of each kind of example, made on the spot, and the pipelines that read them.

Sets of the last three kinds lie in layouts that torchvision reads too (`made_files`).
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from jresnet.benchmark.made_files import FILM, LENGTH, YEAR, make_films, make_voc
from jresnet.benchmark.photos import QUALITY, SIZE, make_photos
from jresnet.data.clips import Clip
from jresnet.data.crops import RandomResizedCrop, ResizeCenterCrop
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.clips import Films
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.with_boxes import FitWithBoxes, RandomCropWithBoxes
from jresnet.data.with_map import FitWithMap, RandomCropWithMap

Kind = Literal["images", "boxes", "maps", "clips"]
CROP = 512  # pixels of the crop with boxes or a map
JITTER = (0.5, 2.0)  # smallest and largest factor of its scale
CLIP = Clip(16, 2.0, (112, 112), 128, random=True)
LIMIT = 8  # rows of objects


class InputSet(NamedTuple):
    """A set of one kind, as it is measured.

    - data: the pipeline; its first transform is that of training.
    - about: the set in words.
    - folder: where its files lie.
    - unit: what a row is.
    """

    kind: Kind
    data: ImageData
    about: str
    folder: Path
    unit: str = "image"


COUNTS: dict[Kind, int] = {"images": 1024, "boxes": 512, "maps": 512, "clips": 64}
BATCHES: dict[Kind, int] = {"images": 32, "boxes": 16, "maps": 16, "clips": 8}


@contextlib.contextmanager
def made_up_set(
    kind: Kind, count: int, batch_size: int, image_size: int | None = 224
) -> Iterator[InputSet]:
    """A temporary set of `count` images or films.

    Images with their classes are cut to `image_size`, or stay as they are without one.
    """
    with tempfile.TemporaryDirectory() as name:
        yield MAKERS[kind](Path(name), count, batch_size, image_size)


def classified(
    dataset: str, batch_size: int, image_size: int | None, data_dir: Path | None = None
) -> ImageData:
    """Images with their classes, cut at random to `image_size`, or as they are without one."""
    return ImageData(
        dataset,
        batch_size,
        data_dir=data_dir,
        train_transform=RandomResizedCrop(image_size) if image_size else None,
        eval_transform=ResizeCenterCrop(image_size, image_size) if image_size else None,
    )


def _images(folder: Path, count: int, batch_size: int, image_size: int | None) -> InputSet:
    mean = make_photos(folder, count)
    data = classified(str(folder), batch_size, image_size)
    return InputSet("images", data, f"photographs made, {_files(mean)}", folder)


def _boxes(folder: Path, count: int, batch_size: int, image_size: int | None) -> InputSet:
    del image_size
    mean, (low, high), square = make_voc(folder, count), JITTER, (CROP, CROP)
    jitter = RandomCropWithBoxes(square, limit=LIMIT, low=low, high=high)
    whole = FitWithBoxes(square, limit=LIMIT)
    data = ImageData(Boxes(folder / YEAR), batch_size, train_transform=jitter, eval_transform=whole)
    return InputSet("boxes", data, f"photographs with boxes made, {_files(mean)}", folder)


def _maps(folder: Path, count: int, batch_size: int, image_size: int | None) -> InputSet:
    del image_size
    mean, (low, high), square = make_voc(folder, count), JITTER, (CROP, CROP)
    jitter = RandomCropWithMap(square, low=low, high=high)
    data = ImageData(
        LabelMaps(folder / YEAR),
        batch_size,
        train_transform=jitter,
        eval_transform=FitWithMap(square),
    )
    return InputSet("maps", data, f"photographs with label maps made, {_files(mean)}", folder)


def _clips(folder: Path, count: int, batch_size: int, image_size: int | None) -> InputSet:
    del image_size
    mean = make_films(folder, count)
    middle = dataclasses.replace(CLIP, random=False)
    data = ImageData(Films(folder), batch_size, train_transform=CLIP, eval_transform=middle)
    width, height = FILM
    about = f"films made, H.264, {width} x {height}, {LENGTH} frames, {mean / 1e3:.0f} kB each"
    return InputSet("clips", data, about, folder, "clip")


MAKERS: dict[Kind, Callable[[Path, int, int, int | None], InputSet]] = {
    "images": _images,
    "boxes": _boxes,
    "maps": _maps,
    "clips": _clips,
}


def _files(mean: float) -> str:
    width, height = SIZE
    return f"JPEG, {width} x {height}, quality {QUALITY}, {mean / 1e3:.0f} kB each"
