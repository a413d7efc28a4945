"""The extreme points of every object as its keypoints, computed from its mask."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jresnet.data import images, runs
from jresnet.data.info import Example, Info
from jresnet.data.sources.box_source import BoxSource
from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.shape_objects import ShapeObjects, ShapeObjectSource
from jresnet.errors import UsageError

POINTS = ("top", "bottom", "left", "right")
# The point that takes the place of each in a mirror image, for `mirrored` of `geometry.carry`.
MIRRORED = (0, 1, 3, 2)
# COCO's sigma of the keypoint about which people disagree most, the hip. Extreme points are no
# better defined: by COCO's own measure the pixels of the extreme row alone scatter by 0.165 of the
# root of the area in round cell nuclei, for any of them is as extreme as the others.
EXTREME_SIGMA = 0.107


@dataclasses.dataclass(frozen=True)
class ExtremePoints:
    """A set with masks whose objects have four keypoints: the pixels of the mask that are topmost,
    lowest, leftmost and rightmost.

    Where a row or column has several such pixels it is the one nearest to their mean. All are
    visible (2), and lie in the middle of their pixel; an empty mask's are not visible.
    """

    dataset: Boxes | ShapeObjects

    def info(self) -> Info:
        """The facts about the set itself. Raises UsageError."""
        return self.dataset.info()

    def open(self, split: str, encoded: bool = False) -> "ExtremePointSource":
        """The examples of a split. Raises UsageError."""
        return ExtremePointSource(self.dataset.open(split, encoded))

    @property
    def mirrored(self) -> tuple[int, ...]:
        """The point that takes each one's place in a mirror image."""
        return MIRRORED

    @property
    def categories(self) -> tuple[int, ...]:
        """The ids of the classes where the set has them, otherwise ()."""
        return self.dataset.categories

    def largest(self, split: str) -> tuple[int, int, int]:
        """The largest number of objects of an image, of run lengths of a mask, and of keypoints."""
        objects, lengths, _ = self.dataset.largest(split)
        return objects, lengths, len(POINTS)


@dataclasses.dataclass(frozen=True, eq=False)
class ExtremePointSource:
    """One split: the examples of `source` with `keypoints` float32 [n, 4, 3], of `POINTS`."""

    source: BoxSource | ShapeObjectSource

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Raises BrokenExampleError, and UsageError for a set without masks."""
        example = self.source[index]
        if "runs" not in example:
            raise UsageError(f"{self.describe(index)}: has no masks: expected a set with masks")
        image = example["image"]
        height = images.header(image)[0] if isinstance(image, bytes) else image.shape[0]
        points = [extreme_points(one, height) for one in example["runs"]]
        return example | {"keypoints": np.reshape(points, (-1, len(POINTS), 3)).astype(np.float32)}

    def describe(self, index: int) -> str:
        """The path of the image."""
        return self.source.describe(index)

    def faults(self) -> Sequence[str]:
        """A line about each annotation that was left out."""
        return self.source.faults()

    def sizes(self) -> np.ndarray:
        """Height and width of every image, int [examples, 2]."""
        return self.source.sizes()


def extreme_points(lengths: np.ndarray, height: int) -> np.ndarray:
    """float32 `[4, 3]`, the points of a mask by its run lengths, in an image of this height."""
    first, last = runs.stretches(lengths)
    if not len(first):
        return np.zeros((len(POINTS), 3), np.float32)
    inside = np.repeat(first - np.cumsum(last - first) + (last - first), last - first)
    x, y = divmod(inside + np.arange(len(inside)), height)
    points = []
    for along, across, edge in ((x, y, y.min()), (x, y, y.max()), (y, x, x.min()), (y, x, x.max())):
        places = along[across == edge]
        nearest = places[np.abs(places - places.mean()).argmin()]
        points.append((nearest, edge) if across is y else (edge, nearest))
    return np.concatenate([np.array(points) + 0.5, np.full((4, 1), 2)], 1).astype(np.float32)
