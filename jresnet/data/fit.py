"""A picture of any size as a net takes it that was trained on images of one size."""

import dataclasses

import numpy as np
from PIL import Image

from jresnet.data import images
from jresnet.data.transform import ImageTransform
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Fit:
    """The largest middle part that has the proportions of `image_shape`, resized to it.

    `image_shape` is (height, width, channels). An image of that size stays as it is. Bilinear with
    antialiasing.
    """

    image_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        height, width, channels = self.image_shape
        if min(height, width) < 1 or channels not in (1, 3):
            raise UsageError(
                f"image={self.image_shape}: expected height, width and 1 or 3 channels"
            )

    def __call__(
        self, image: np.ndarray | bytes, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """uint8 [H, W, 1 or 3] or an image file to uint8 `image_shape`; rng is not used.

        Raises images.DecodeError.
        """
        del rng
        height, width, channels = self.image_shape
        if isinstance(image, bytes):
            image = images.decode(image, channels)
        if image.shape[:2] != (height, width):
            colour = np.broadcast_to(image, (*image.shape[:2], 3))
            image = images.resize(colour, height, width, self._box(*image.shape[:2]))
        return _with_channels(image, channels)

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in an image of this size."""
        if (height, width) == self.image_shape[:2]:
            return np.eye(2, 3)
        left, top, right, bottom = self._box(height, width)
        x, y = (right - left) / self.image_shape[1], (bottom - top) / self.image_shape[0]
        return np.array([[x, 0, left], [0, y, top]])

    def _box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of the part of an image of this size."""
        scale = min(height / self.image_shape[0], width / self.image_shape[1])
        tall, wide = scale * self.image_shape[0], scale * self.image_shape[1]
        left, top = (width - wide) / 2, (height - tall) / 2
        return left, top, left + wide, top + tall


@dataclasses.dataclass(frozen=True)
class Grey:
    """Grey images out of a transform that gives colour."""

    transform: ImageTransform

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """That of `transform`, with one channel."""
        return (*self.transform.image_shape[:2], 1)

    def __call__(self, image: np.ndarray | bytes, rng: np.random.Generator) -> np.ndarray:
        """Apply `transform` and make the image grey, uint8 [H, W, 1]. Raises images.DecodeError."""
        return _with_channels(self.transform(image, rng), 1)


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """uint8 [H, W, 1 or 3] as grey or colour, by Pillow's luma."""
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.broadcast_to(image, (*image.shape[:2], 3))
    return np.array(Image.fromarray(np.ascontiguousarray(image)).convert("L"))[..., None]
