"""Transforms of images with a label map, on the host: both are cut, scaled and padded together."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from PIL import Image

from jresnet.data import images
from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import ExampleError
from jresnet.data.buckets import Bucketed, Size, smallest_that_holds
from jresnet.data.info import Example, Info, Spec
from jresnet.errors import UsageError

logger = logging.getLogger(__name__)

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the source


@dataclasses.dataclass(frozen=True)
class FitWithMap:
    """`image` uint8 [*size, channels] and `map` int32 [*size] of every example.

    An image larger than `size` (height, width) is scaled down to fit; what remains at the right and
    below is 0, and ignored in the map. Without a size, images stay as they are and must be of one.
    Stored examples have `image`, an image's file or pixels, and `map`, integers [H, W]; one without a
    map, as in prediction, is ignored everywhere.
    """

    size: tuple[int, int] | None = None
    channels: int = 3

    def spec(self, info: Info) -> Spec:
        """Raises UsageError where images differ in size and none is given."""
        size = self.size or (info.fixed_shape or ())[:2]
        if not size:
            raise UsageError(f"dataset={info.name!r}: its images differ in size; expected a size")
        return {
            "image": jax.ShapeDtypeStruct((*size, self.channels), np.uint8),
            "map": jax.ShapeDtypeStruct(tuple(size), np.int32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError, and ExampleError for a map that does not fit its image."""
        image, labels = decoded(example, self.channels)
        if self.size is None:
            return {"image": image, "map": labels}
        height, width = image.shape[:2]
        return placed(image, labels, self.box(height, width, rng), self.size)

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        """The part of an image that the result shows; what lies outside of the image is padding."""
        del rng
        assert self.size is not None
        scale = max(1.0, height / self.size[0], width / self.size[1])
        return 0.0, 0.0, self.size[1] * scale, self.size[0] * scale

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in an image of this size."""
        if self.size is None:
            return np.eye(2, 3)
        left, top, right, bottom = self.box(height, width, np.random.default_rng(0))
        x, y = (right - left) / self.size[1], (bottom - top) / self.size[0]
        return np.array([[x, 0, left], [0, y, top]])

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raises ExampleError for a class that the dataset does not have."""
        check_classes(arrays["map"], info)


@dataclasses.dataclass(frozen=True)
class RandomCropWithMap(FitWithMap):
    """A random part of an example, scaled by a factor between `low` and `high` and cut to `size`.

    Where the scaled image is smaller than `size` it lies at a random place, padded around. The
    aspect ratio stays.
    """

    low: float = 0.5
    high: float = 2.0

    def __post_init__(self) -> None:
        if self.size is None:
            raise UsageError("size=None: expected (height, width)")
        if not 0 < self.low <= self.high:
            raise UsageError(f"low={self.low}, high={self.high}: expected 0 < low <= high")

    def box(self, height: int, width: int, rng: np.random.Generator) -> Box:
        assert self.size is not None
        factor = float(rng.uniform(self.low, self.high))
        sides = self.size[0] / factor, self.size[1] / factor
        top, left = (
            float(rng.uniform(min(0.0, whole - side), max(0.0, whole - side)))
            for whole, side in zip((height, width), sides, strict=True)
        )
        return left, top, left + sides[1], top + sides[0]


# Sides of the sizes that whole images are padded to, as multiples of a base.
STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)


@dataclasses.dataclass(frozen=True)
class AtOwnSize(Bucketed):
    """Whole images as large as they are, padded below and at the right to one of a few sizes.

    Each side is that of `base` (height, width) times one of `STEPS`: images of any size make at most
    as many programs as there are pairs of steps, and only those that occur are compiled. An image
    of more than 32 times the base is scaled down, with a warning.
    """

    transforms: tuple[FitWithMap, ...] = dataclasses.field(init=False, repr=False)
    choose: Callable[[Size, Sequence[Size]], int] = dataclasses.field(init=False, repr=False)
    image: str = dataclasses.field(default="image", init=False, repr=False)
    base: tuple[int, int] = (512, 512)
    channels: int = 3

    def __post_init__(self) -> None:
        if min(self.base) < 1:
            raise UsageError(f"base={self.base}: expected (height, width) in pixels")
        heights, widths = ([round(step * side) for step in STEPS] for side in self.base)
        each = [FitWithMap((h, w), self.channels) for h in heights for w in widths]
        object.__setattr__(self, "transforms", tuple(each))
        object.__setattr__(self, "choose", choose_and_tell)


def choose_and_tell(size: Size, buckets: Sequence[Size]) -> int:
    """`smallest_that_holds`, with a warning about a size that none holds."""
    chosen = smallest_that_holds(size, buckets)
    if any(side > room for side, room in zip(size, buckets[chosen], strict=True)):
        _tell_scaled(tuple(size), tuple(buckets[chosen]))
    return chosen


@functools.cache
def _tell_scaled(size: Size, room: Size) -> None:
    logger.warning(
        "images of %d x %d pixels (height x width) are scaled down to fit %d x %d", *size, *room
    )


def check_classes(labels: np.ndarray, info: Info) -> None:
    """Raise ExampleError for a map, integers of any shape, with a class that the set does not have."""
    known = labels[labels != IGNORED]
    if known.size and not 0 <= known.min() <= known.max() < info.num_classes:
        worst = known.min() if known.min() < 0 else known.max()
        raise ExampleError(
            f"class {worst} in its map: expected 0 to {info.num_classes - 1}, or {IGNORED} "
            "where there is none"
        )


def decoded(example: Mapping[str, Any], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 [H, W, channels] and map int32 [H, W] of a stored example.

    Raises DecodeError, and ExampleError for a map of another size than the image, or without any
    pixel that has a class.
    """
    image = images.as_channels(example["image"], channels)
    labels = example.get("map")
    if labels is None:
        return image, np.full(image.shape[:2], IGNORED, np.int32)
    if labels.shape != image.shape[:2]:
        raise ExampleError(
            f"its map is {labels.shape}: expected {image.shape[:2]}, its image's size"
        )
    if (labels == IGNORED).all():
        raise ExampleError("its map has no class: expected one, every pixel is ignored")
    return image, labels.astype(np.int32)


def placed(
    image: np.ndarray, labels: np.ndarray, box: Box, size: tuple[int, int]
) -> dict[str, np.ndarray]:
    """The part of image and map in `box`, scaled to `size`: bilinear with antialiasing, and nearest."""
    height, width = image.shape[:2]
    left, top, right, bottom = box
    x, y = size[1] / (right - left), size[0] / (bottom - top)  # pixels of the result for one
    inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    low = round((inside[0] - left) * x), round((inside[1] - top) * y)
    high = round((inside[2] - left) * x), round((inside[3] - top) * y)
    result = {
        "image": np.zeros((*size, image.shape[-1]), np.uint8),
        "map": np.full(size, IGNORED, np.int32),
    }
    shape = high[0] - low[0], high[1] - low[1]
    if min(shape) < 1:
        return result
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    for name, source, how in (
        ("image", image if image.shape[-1] == 3 else image[..., 0], Image.Resampling.BILINEAR),
        ("map", labels, Image.Resampling.NEAREST),
    ):
        part = Image.fromarray(np.ascontiguousarray(source)).resize(shape, how, inside)
        result[name][window] = np.asarray(part).reshape(result[name][window].shape)
    return result
