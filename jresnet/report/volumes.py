"""Volumes as pictures: three slices at right angles, and label maps over them.

Arrays are `[depth, height, width, ...]` from the feet to the head, the back to the front, the left
to the right. In the pictures the head and the front are at the top, and the left is at the left;
seen from the side the front is at the right.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from jresnet.report.drawing import as_rgb, side_by_side
from jresnet.report.label_maps import blended

Place = tuple[int, int, int]
VIEWS = ("from above", "from the front", "from the side")
_GAP = 8  # pixels between rows
_SHARES = (0.5, 99.5)  # per cent of a volume's values that become black and white


def as_bytes(volume: np.ndarray) -> np.ndarray:
    """The first channel of `[*space, channels]` in grey, uint8 `[*space]`."""
    values = volume[..., 0].astype(np.float32)
    low, high = np.percentile(values, _SHARES)
    share = (values - low) / max(float(high - low), 1e-8)
    return np.rint(255 * share.clip(0, 1)).astype(np.uint8)


def fullest(labels: np.ndarray, counted: np.ndarray) -> Place:
    """The slice of each axis with the most voxels of a class other than 0; without any the middle."""
    inside = (labels != 0) & counted
    places = []
    for axis, side in enumerate(labels.shape):
        sums = inside.sum(tuple(other for other in range(3) if other != axis))
        places.append(int(sums.argmax()) if sums.any() else side // 2)
    depth, height, width = places
    return depth, height, width


def slices(volume: np.ndarray, place: Place) -> list[np.ndarray]:
    """The three slices of `[depth, height, width]` that meet in `place`, in the order of `VIEWS`."""
    depth, height, width = place
    return [volume[depth, ::-1], volume[::-1, height], volume[::-1, :, width]]


def sheet(
    image: np.ndarray,
    maps: Sequence[np.ndarray],
    colours: Sequence[str],
    place: Place,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    side: int = 256,
) -> np.ndarray:
    """Three rows of slices: of the image alone, then under the colours of each of `maps`.

    Args:
        image: uint8 `[depth, height, width]`.
        maps: int, each of the image's shape.
        colours: of the classes, "#rrggbb".
        place: where the slices meet.
        spacing: of voxels along each axis, for the proportions.
        side: pixels of the longest side of a slice.

    Returns:
        uint8 `[H, W, 3]`.
    """
    depth, height, width = spacing
    scale = side / max(n * s for n, s in zip(image.shape, spacing, strict=True))
    proportions = (height, width), (depth, width), (depth, height)
    planes = list(zip(slices(image, place), proportions, strict=True))
    cell = max(round(grey.shape[1] * wide * scale) for grey, (_, wide) in planes)
    rows = []
    for number, (grey, (tall, wide)) in enumerate(planes):
        pictures = [as_rgb(grey)]
        pictures += [blended(grey, slices(labels, place)[number], colours) for labels in maps]
        size = round(grey.shape[1] * wide * scale), round(grey.shape[0] * tall * scale)
        rows.append(side_by_side([_resized(picture, size, cell) for picture in pictures]))
    return _stacked(rows)


def _resized(picture: np.ndarray, size: tuple[int, int], cell: int) -> np.ndarray:
    """A picture of that (width, height) in the middle of a white cell."""
    width, height = max(1, size[0]), max(1, size[1])
    image = Image.fromarray(np.ascontiguousarray(picture))
    pixels = np.asarray(image.resize((width, height), Image.Resampling.NEAREST))
    left = max(0, cell - width) // 2
    room = ((0, 0), (left, max(0, cell - width - left)), (0, 0))
    return np.pad(pixels, room, constant_values=255)


def _stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures below each other, with white between them and at the right of narrow ones."""
    width = max(row.shape[1] for row in rows)
    parts = []
    for row in rows:
        room = ((0, _GAP), (0, width - row.shape[1]), (0, 0))
        parts.append(np.pad(row, room, constant_values=255))
    return np.concatenate(parts)[:-_GAP]
