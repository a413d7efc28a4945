"""Made-up pictures of circles, squares and triangles with a box and a mask of each, without a download."""

import dataclasses

import numpy as np

from jresnet.data import runs
from jresnet.data.info import Example, Info
from jresnet.data.sources.shapes import CLASSES, Shapes, ShapesSource

LIMIT = 4  # shapes of a picture
VISIBLE = 16  # pixels of a shape that must be seen; one that others hide is no object


@dataclasses.dataclass(frozen=True)
class ShapeObjects:
    """The pictures of `shapes.Shapes` as objects: of each shape the pixels that no later one hides.

    With other `names` than the three of the shapes these are the classes, in turn. `points` keypoints
    of an object lie between two corners of its box.
    """

    train_size: int = 512
    test_size: int = 128
    side: int = 64
    names: tuple[str, ...] = CLASSES[1:]
    points: int = 0

    def info(self) -> Info:
        names = self.names
        info = self._shapes.info()
        return dataclasses.replace(info, num_classes=len(names), class_names=names, class_of="box")

    def open(self, split: str, encoded: bool = False) -> "ShapeObjectSource":
        """The examples of "train" or "test"; they are never encoded."""
        pictures = self._shapes.open(split, encoded)
        return ShapeObjectSource(pictures, len(self.names), self.points)

    @property
    def _shapes(self) -> Shapes:
        return Shapes(self.train_size, self.test_size, self.side)

    @property
    def mirrored(self) -> None:
        """Nothing tells left points from right ones."""

    @property
    def categories(self) -> tuple[()]:
        """No ids: the pictures are of no file."""
        return ()

    def largest(self, split: str) -> tuple[int, int, int]:
        """The largest number of objects of an image, of run lengths of a mask, and of keypoints."""
        del split
        return LIMIT, 2 * self.side + 1, self.points


@dataclasses.dataclass(frozen=True)
class ShapeObjectSource:
    """One split; examples are those of `boxes.BoxSource`."""

    pictures: ShapesSource
    classes: int
    points: int

    def __len__(self) -> int:
        return len(self.pictures)

    def describe(self, index: int) -> str:
        """Such as "shapes train 7"."""
        return self.pictures.describe(index)

    def sizes(self) -> np.ndarray:
        """Height and width of every image, int [examples, 2]."""
        return np.full((len(self), 2), self.pictures.side)

    def faults(self) -> tuple[str, ...]:
        """None; made-up pictures are right."""
        return ()

    def __getitem__(self, index: int) -> Example:
        image, shapes = self.pictures.drawn(index)
        objects = []
        hidden = np.zeros(image.shape[:2], bool)
        for kind, inside in reversed(shapes):
            seen = inside & ~hidden
            hidden |= inside
            if seen.sum() >= VISIBLE:
                objects.insert(0, (kind, seen))
        lengths = [runs.encode(seen) for _, seen in objects]
        bounds = [runs.bounds(one, image.shape[0]) for one in lengths]
        boxes = np.array(bounds, np.float32).reshape(-1, 4)
        kinds = np.array([kind - 1 for kind, _ in objects], np.int32)
        return {
            "image": image,
            "boxes": boxes,
            "class": kinds % self.classes,
            "crowd": np.zeros(len(objects), bool),
            "area": np.array([runs.area(one) for one in lengths], np.float32),
            "runs": lengths,
            **({"keypoints": _along(boxes, self.points)} if self.points else {}),
        }


def _along(boxes: np.ndarray, points: int) -> np.ndarray:
    """Visible keypoints from the upper left to the lower right corner of boxes, `[n, points, 3]`."""
    share = (np.arange(points) + 0.5)[:, None] / points
    places = boxes[:, None, :2] * (1 - share) + boxes[:, None, 2:] * share
    return np.concatenate([places, np.full((*places.shape[:2], 1), 2)], -1).astype(np.float32)
