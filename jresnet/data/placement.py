"""How an image is scaled and cut, and everything that lies in it with it."""

import dataclasses

import numpy as np

from jresnet.data import images

Size = tuple[int, int]  # height, width


@dataclasses.dataclass(frozen=True)
class Placement:
    """A part of a scaled image, which lies at the top left of the result.

    - original: (height, width) of the image.
    - scaled: that of the whole image once it is scaled.
    - corner: (top, left) of the part in the scaled image.
    - part: (height, width) of the part.
    """

    original: Size
    scaled: Size
    corner: Size
    part: Size

    @property
    def factors(self) -> np.ndarray:
        """Pixels of the result for one of the image, along x and y."""
        return np.array([self.scaled[axis] / self.original[axis] for axis in (1, 0)])

    @property
    def matrix(self) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in the image."""
        x, y = 1 / self.factors
        return np.array([[x, 0, x * self.corner[1]], [0, y, y * self.corner[0]]])

    def moved(self, places: np.ndarray) -> np.ndarray:
        """`[..., 2]`, (x, y) in the image to (x, y) in the result, float32."""
        return (places * self.factors - self.corner[::-1]).astype(np.float32)

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """`[n, 4]` in pixels of the result, float32."""
        return self.moved(boxes.reshape(-1, 2, 2)).reshape(-1, 4)

    def pixels(self, image: np.ndarray, size: Size) -> np.ndarray:
        """The part of an image uint8 [H, W, C], and zeros at the right and below: [*size, C]."""
        (top, left), (height, width) = self.corner, self.part
        (x, _, x0), (_, y, y0) = self.matrix.tolist()
        box = x0, y0, x * (left + width), y * (top + height)
        result = np.zeros((*size, image.shape[-1]), np.uint8)
        result[:height, :width] = images.resize(image, height, width, box)
        return result
