"""Faces brought to one place: five landmarks onto a template by a similarity transform.

The transform is Umeyama's (1991, IEEE PAMI 13(4)): least squares over rotation, scale and shift.
"""

import dataclasses
import logging
from collections.abc import Sequence

import jax
import numpy as np
from PIL import Image

from jresnet.data import images
from jresnet.data.broken import ExampleError
from jresnet.data.info import Example, Info, Spec
from jresnet.errors import UsageError

logger = logging.getLogger(__name__)

# Eyes, nose, corners of the mouth as (x, y) in a picture of 112 x 112 whose first pixel's centre is
# (0, 0); left and right are the viewer's. From insightface, `utils/face_align.py`.
TEMPLATE = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)
)  # fmt: skip
SIDE = 112


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`[2, 3]` that takes points `[n, 2]` of `source` nearest to `target`, without mirroring.

    Raises ValueError for fewer than two points, points that coincide, and numbers that are none.
    """
    source, target = np.asarray(source, float), np.asarray(target, float)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1:] != (2,) or len(source) < 2:  # fmt: skip
        raise ValueError(f"landmarks {source.shape}: expected {target.shape}, (x, y) of each")
    if not np.isfinite(source).all():
        raise ValueError("landmarks: expected numbers")
    middle, aim = source.mean(0), target.mean(0)
    variance = np.square(source - middle).sum(1).mean()
    if variance < 1e-12:
        raise ValueError("landmarks: expected points that differ")
    u, sizes, v = np.linalg.svd((target - aim).T @ (source - middle) / len(source))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v)) or 1.0])
    linear = (sizes @ signs / variance) * (u * signs) @ v
    return np.column_stack([linear, aim - linear @ middle])


def aligned(image: np.ndarray, landmarks: np.ndarray, side: int = SIDE) -> np.ndarray:
    """uint8 `[side, side, channels]`: the face of `[H, W, channels]` with its landmarks on the template.

    Bilinear; black beyond the picture. Raises ValueError for landmarks as `similarity` does.
    """
    forward = similarity(landmarks, np.array(TEMPLATE) * side / SIDE)
    linear = np.linalg.inv(forward[:, :2])
    shift = -linear @ forward[:, 2]
    # Pillow counts from a pixel's corner, landmarks from its centre.
    shift = shift + 0.5 - linear @ (0.5, 0.5)
    (a, b), (d, e) = linear.tolist()
    values = (a, b, float(shift[0]), d, e, float(shift[1]))
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    moved = picture.transform((side, side), Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)  # fmt: skip
    return np.asarray(moved).reshape(side, side, image.shape[-1])


def tell_unaligned(count: int, place: str) -> None:
    """Warn, in one line, that pictures are cut and not aligned; `place` holds them."""
    logger.warning(
        "%d pictures of %s have no landmarks: the middle of each is cut out, faces are NOT aligned, "
        "and accuracy is below that of published numbers unless the files are aligned already",
        count, place,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Face:
    """`image` uint8 [*size, channels] and `label` int32 [], as nets for faces take them.

    With `landmarks` in the example, `[5, 2]`, the face is aligned, which needs a square; without
    them the largest part from the middle that has the shape of `size` is resized to it.
    """

    size: tuple[int, int] = (SIDE, SIDE)
    channels: int = 3

    def spec(self, info: Info) -> Spec:
        del info
        return {
            "image": jax.ShapeDtypeStruct((*self.size, self.channels), np.uint8),
            "label": jax.ShapeDtypeStruct((), np.int32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError, and ExampleError for landmarks that are none."""
        del rng
        stored = example["image"]
        image = images.decode(stored, self.channels) if isinstance(stored, bytes) else stored
        label = np.asarray(example["label"], np.int32)
        landmarks = example.get("landmarks")
        if landmarks is None:
            return {"image": self.middle(image), "label": label}
        if self.size[0] != self.size[1]:
            raise UsageError(f"size={self.size}: expected a square, to align faces in")
        try:
            return {"image": aligned(image, landmarks, self.size[0]), "label": label}
        except ValueError as error:
            raise ExampleError(str(error)) from error

    def middle(self, image: np.ndarray) -> np.ndarray:
        """The middle of a picture, resized."""
        height, width = image.shape[:2]
        scale = min(height / self.size[0], width / self.size[1])
        part = [min(side, max(1, round(scale * wanted))) for side, wanted in zip((height, width), self.size, strict=True)]  # fmt: skip
        top, left = (height - part[0]) // 2, (width - part[1]) // 2
        return images.resize(image[top : top + part[0], left : left + part[1]], *self.size)


def landmarks_of(values: Sequence[float]) -> np.ndarray:
    """`[5, 2]` of ten numbers x, y, x, y, ...; raises ValueError for others."""
    if len(values) != 2 * len(TEMPLATE):
        raise ValueError(f"landmarks={len(values)} numbers: expected 10, x and y of five points")
    return np.asarray(values, float).reshape(-1, 2)
