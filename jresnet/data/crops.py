"""The ImageNet transforms that run on the host, one file at a time: decode, crop, resize.

Flipping and normalising follow on the device, see `augment`.
"""

import dataclasses
import math
from typing import Literal

import numpy as np
from PIL import Image

from jresnet.data import images
from jresnet.errors import UsageError

Interpolation = Literal["bilinear", "bicubic"]
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclasses.dataclass(frozen=True)
class RandomResizedCrop:
    """A part of the image with random area and aspect ratio, resized to a square (Szegedy et al. 2014, arXiv 1409.4842).

    scale bounds the share of the area, ratio is width over height. Same formula as torchvision's of that name:
    ten tries, then the largest centre crop within ratio. Bilinear with antialiasing. Large JPEGs are decoded at
    1/2, 1/4 or 1/8 of their size where the crop still has 2 size pixels each way (the gap of Pillow's thumbnail),
    so there pixels differ a little.
    """

    size: int = 224
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        _check_positive("size", self.size)
        for field, (low, high), limit in (
            ("scale", self.scale, 1.0),
            ("ratio", self.ratio, math.inf),
        ):
            if not 0 < low <= high <= limit:
                raise UsageError(f"{field}={low, high}: expected 0 < low <= high <= {limit}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(size, size, 3)."""
        return self.size, self.size, 3

    def __call__(self, image: np.ndarray | bytes, rng: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, 1 or 3] or an image file to uint8 [size, size, 3]. Raises images.DecodeError."""
        height, width = (
            image.shape[:2] if isinstance(image, np.ndarray) else images.header(image)[:2]
        )
        top, left, crop_height, crop_width = self.box(height, width, rng)
        shorter = min(crop_height, crop_width)
        factor = next((factor for factor in (8, 4, 2) if shorter >= 2 * factor * self.size), 1)
        pixels = _rgb(image, factor)
        if pixels.shape[:2] == (height, width):
            # Cut first, as torchvision does: no pixel outside the box takes part.
            pixels = pixels[top : top + crop_height, left : left + crop_width]
            return images.resize(pixels, self.size, self.size)
        scale_y, scale_x = pixels.shape[0] / height, pixels.shape[1] / width
        right, bottom = left + crop_width, top + crop_height
        box = (left * scale_x, top * scale_y, right * scale_x, bottom * scale_y)
        return images.resize(pixels, self.size, self.size, box)

    def box(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """(top, left, height, width) in pixels of the crop of an image of the given size."""
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            ratio = math.exp(rng.uniform(low, high))
            crop_width, crop_height = (
                round(math.sqrt(area * ratio)),
                round(math.sqrt(area / ratio)),
            )
            if 0 < crop_width <= width and 0 < crop_height <= height:
                top = int(rng.integers(0, height - crop_height + 1))
                left = int(rng.integers(0, width - crop_width + 1))
                return top, left, crop_height, crop_width
        crop_height = min(height, max(1, round(width / self.ratio[0])))
        crop_width = min(width, max(1, round(height * self.ratio[1])))
        return (
            (height - crop_height) // 2,
            (width - crop_width) // 2,
            crop_height,
            crop_width,
        )


@dataclasses.dataclass(frozen=True)
class ResizeCenterCrop:
    """The shorter side to resize pixels, then the middle crop x crop: the usual evaluation on ImageNet.

    Sizes round as in torchvision; with antialiasing. Always decodes in full size, so that published
    accuracies can be reproduced. Torchvision's are bilinear, most of timm's bicubic.
    """

    resize: int = 256
    crop: int = 224
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        _check_positive("crop", self.crop)
        if self.crop > self.resize:
            raise UsageError(f"crop={self.crop}: expected at most resize={self.resize}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(crop, crop, 3)."""
        return self.crop, self.crop, 3

    def __call__(
        self, image: np.ndarray | bytes, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """uint8 [H, W, 1 or 3] or an image file to uint8 [crop, crop, 3]; rng is not used. Raises images.DecodeError."""
        del rng
        pixels = _rgb(image)
        size, corner = self._size_and_corner(*pixels.shape[:2])
        resampling = _RESAMPLING[self.interpolation]
        return images.resize_and_crop(pixels, size, corner, self.crop, resampling)

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in an image of this size."""
        size, (top, left) = self._size_and_corner(height, width)
        x, y = width / size[1], height / size[0]
        return np.array([[x, 0, x * left], [0, y, y * top]])

    def _size_and_corner(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(height, width) of the whole image resized, (top, left) of the crop in it."""
        shorter = min(height, width)
        size = self.resize * height // shorter, self.resize * width // shorter
        corner = round((size[0] - self.crop) / 2), round((size[1] - self.crop) / 2)
        return size, corner


@dataclasses.dataclass(frozen=True)
class RandomScaleCrop:
    """The shorter side to a random number of pixels within `sides`, then a random square of size x size.

    Scale augmentation of He et al. 2015 (arXiv 1512.03385, section 3.4).
    """

    size: int = 224
    sides: tuple[int, int] = (256, 480)

    def __post_init__(self) -> None:
        _check_positive("size", self.size)
        if not self.size <= self.sides[0] <= self.sides[1]:
            raise UsageError(f"sides={self.sides}: expected {self.size} <= low <= high")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(size, size, 3)."""
        return self.size, self.size, 3

    def __call__(self, image: np.ndarray | bytes, rng: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, 1 or 3] or an image file to uint8 [size, size, 3]. Raises images.DecodeError."""
        pixels = _rgb(image)
        side = int(rng.integers(self.sides[0], self.sides[1] + 1))
        height, width = pixels.shape[:2]
        shorter = min(height, width)
        size = side * height // shorter, side * width // shorter
        top, left = (int(rng.integers(0, length - self.size + 1)) for length in size)
        return images.resize_and_crop(pixels, size, (top, left), self.size)


@dataclasses.dataclass(frozen=True)
class ResizeSquare:
    """The whole image resized to resize x resize, its proportions given up, and a random crop x crop of that.

    How BiT fine-tunes (Kolesnikov et al. 2019, arXiv 1912.11370); with crop = resize, how it evaluates.
    """

    resize: int
    crop: int

    def __post_init__(self) -> None:
        _check_positive("crop", self.crop)
        if self.crop > self.resize:
            raise UsageError(f"crop={self.crop}: expected at most resize={self.resize}")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(crop, crop, 3)."""
        return self.crop, self.crop, 3

    def __call__(self, image: np.ndarray | bytes, rng: np.random.Generator) -> np.ndarray:
        """uint8 [H, W, 1 or 3] or an image file to uint8 [crop, crop, 3]. Raises images.DecodeError."""
        pixels = images.resize(_rgb(image), self.resize, self.resize)
        top, left = rng.integers(0, self.resize - self.crop + 1, 2)
        return pixels[top : top + self.crop, left : left + self.crop]


def _rgb(image: np.ndarray | bytes, factor: int = 1) -> np.ndarray:
    if isinstance(image, bytes):
        return images.decode(image, factor=factor)
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _check_positive(field: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{field}={value}: expected at least 1")
