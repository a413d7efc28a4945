"""Transforms of pictures without labels: patches to train on, patches or whole pictures to test on."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jresnet.data import images
from jresnet.data.broken import ExampleError
from jresnet.data.buckets import Bucketed, Size, smallest_that_holds
from jresnet.data.deep_pictures import read_picture
from jresnet.data.info import Example, Info, Spec
from jresnet.errors import UsageError

# Sides that reduced pictures are padded to. Each pair that occurs is a compiled program.
SIDES = (
    32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288,
    16384, 24576, 32768,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class RandomPatch:
    """`image` uint8 [size, size, channels], a part of the picture at a random place.

    With `shorter` the picture's shorter side is resized to so many pixels first. A picture that is
    smaller than the patch is continued by its mirror image, so that none is lost.
    """

    size: int
    channels: int = 3
    shorter: int | None = None

    def __post_init__(self) -> None:
        _check_sides(self.size, self.shorter)

    def spec(self, info: Info) -> Spec:
        del info
        shape = (self.size, self.size, self.channels)
        return {"image": jax.ShapeDtypeStruct(shape, np.uint8)}

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError."""
        image = _large_enough(decoded(example, self.channels), self.size, self.shorter)
        top, left = (int(rng.integers(0, side - self.size + 1)) for side in image.shape[:2])
        return self._cut(image, top, left)

    def _cut(self, image: np.ndarray, top: int, left: int) -> dict[str, np.ndarray]:
        patch = image[top : top + self.size, left : left + self.size]
        return {"image": np.ascontiguousarray(patch)}


@dataclasses.dataclass(frozen=True)
class RandomPair(RandomPatch):
    """`image` and `reduced`, a patch of a picture and the same of the one `scale` times as small.

    `reduced` is uint8 [size / scale, size / scale, channels]; `size` is a multiple of `scale`.
    """

    scale: int = 2

    def spec(self, info: Info) -> Spec:
        side = self.size // self.scale
        shape = (side, side, self.channels)
        return {**super().spec(info), "reduced": jax.ShapeDtypeStruct(shape, np.uint8)}

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError."""
        scale, side = self.scale, self.size // self.scale
        low = decoded({"image": example["reduced"]}, self.channels)
        height, width = (scale * length for length in low.shape[:2])
        image = _large_enough(decoded(example, self.channels)[:height, :width], self.size, None)
        low = _large_enough(low, side, None)
        top, left = (int(rng.integers(0, length - side + 1)) for length in low.shape[:2])
        patch = np.ascontiguousarray(low[top : top + side, left : left + side])
        return {**self._cut(image, scale * top, scale * left), "reduced": patch}


@dataclasses.dataclass(frozen=True)
class MiddlePatch(RandomPatch):
    """`image` uint8 [size, size, channels], the middle of the picture.

    A picture that is to be made into another one (with `low` in the example) stays whole and as
    large as it is, with its 16 bits: it is padded as in `WholePictures`.
    """

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError, and ExampleError for a whole picture that is too large."""
        if "low" in example:
            needed = images.header(example["image"])[:2]
            fitting = (min((n for n in SIDES if n >= side), default=SIDES[-1]) for side in needed)
            height, width = fitting
            return WholePicture((height, width), channels=self.channels)(example, rng)
        image = _large_enough(decoded(example, self.channels), self.size, self.shorter)
        return self._cut(image, *((side - self.size) // 2 for side in image.shape[:2]))

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in a whole result to (x, y) in a picture of any size: the same."""
        del height, width
        return np.eye(2, 3)


def _check_sides(size: int, shorter: int | None) -> None:
    for name, side in (("size", size), ("shorter", shorter)):
        if side is not None and side < 1:
            raise UsageError(f"{name}={side}: expected at least 1 pixel")


def _large_enough(image: np.ndarray, size: int, shorter: int | None) -> np.ndarray:
    """uint8 `[H, W, channels]`, resized to a shorter side if there is one, mirrored up to `size`."""
    if shorter is not None:
        sides = image.shape[:2]
        height, width = (max(1, round(side * shorter / min(sides))) for side in sides)
        image = images.resize(image, height, width)
    lacking = [max(0, size - side) for side in image.shape[:2]]
    if any(lacking):
        image = np.pad(image, [(0, lacking[0]), (0, lacking[1]), (0, 0)], "symmetric")
    return image


@dataclasses.dataclass(frozen=True)
class WholePicture:
    """`image` uint8 [*size, channels], and `padding` int32 [2]: its rows below and columns at the right.

    The picture is cut to a multiple of `scale`. One that is to be enlarged (with `low` in the
    example, as `tasks.upscale` has it) is not cut, may have 16 bits, and then is uint16; `low` is
    an array of the result too. If `paired`, an example has the picture `scale` times as small, and
    so has the result: `reduced`, uint8, padded as the large one.
    """

    size: tuple[int, int]
    scale: int = 1
    channels: int = 3
    paired: bool = False

    def spec(self, info: Info) -> Spec:
        del info
        sides = [side // self.scale for side in self.size]
        low = {"reduced": jax.ShapeDtypeStruct((*sides, self.channels), np.uint8)}
        return (low if self.paired else {}) | {
            "image": jax.ShapeDtypeStruct((*self.size, self.channels), np.uint8),
            "padding": jax.ShapeDtypeStruct((2,), np.int32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError, and ExampleError for a picture that is too small or too large."""
        del rng
        low = "low" in example
        image = read_picture(example["image"]).colours() if low else decoded(example, self.channels)
        scale = 1 if low else self.scale
        height, width = (side - side % scale for side in image.shape[:2])
        if not height or not width:
            raise ExampleError(
                f"{image.shape[1]} x {image.shape[0]} pixels: expected at least {scale} x {scale}"
            )
        if height > self.size[0] or width > self.size[1]:
            raise ExampleError(
                f"{width} x {height} pixels: expected at most {self.size[1]} x {self.size[0]}"
            )
        result = np.zeros((*self.size, self.channels), image.dtype)
        result[:height, :width] = image[:height, :width]
        padding = np.array([self.size[0] - height, self.size[1] - width], np.int32)
        arrays = {"image": result, "padding": padding}
        if self.paired and not low:
            small = decoded({"image": example["reduced"]}, self.channels)
            sides = (side // scale for side in self.size)
            arrays["reduced"] = np.zeros((*sides, self.channels), np.uint8)
            arrays["reduced"][: small.shape[0], : small.shape[1]] = small
        return arrays | ({"low": np.asarray(True)} if low else {})

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in a picture of any size: the same."""
        del height, width
        return np.eye(2, 3)


@dataclasses.dataclass(frozen=True)
class WholePictures(Bucketed):
    """Whole pictures, padded below and at the right to one of a few sizes: `SIDES` times `scale`."""

    transforms: tuple[WholePicture, ...] = dataclasses.field(init=False, repr=False)
    choose: Callable[[Size, Sequence[Size]], int] = dataclasses.field(init=False, repr=False)
    image: str = dataclasses.field(default="image", init=False, repr=False)
    scale: int = 1
    channels: int = 3
    paired: bool = False

    def __post_init__(self) -> None:
        if self.scale < 1:
            raise UsageError(f"scale={self.scale}: expected at least 1")
        sides = [self.scale * side for side in SIDES]
        each = [
            WholePicture((h, w), self.scale, self.channels, self.paired)
            for h in sides
            for w in sides
        ]
        object.__setattr__(self, "transforms", tuple(each))
        object.__setattr__(self, "choose", smallest_that_holds)


def decoded(example: Mapping[str, Any], channels: int) -> np.ndarray:
    """uint8 [H, W, channels] of a stored example. Raises DecodeError."""
    stored = example["image"]
    image = images.decode(stored, channels) if isinstance(stored, bytes) else stored
    if image.shape[-1] != channels:
        image = image.mean(-1, keepdims=True).round().astype(np.uint8) if channels == 1 else image
        image = np.broadcast_to(image, (*image.shape[:2], channels))
    return image
