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
    """The pictures of `shapes.Shapes` as objects: of each shape the pixels that no later one hides."""

    train_size: int = 512
    test_size: int = 128
    side: int = 64

    def info(self) -> Info:
        names = CLASSES[1:]
        info = self._shapes.info()
        return dataclasses.replace(info, num_classes=len(names), class_names=names, class_of="box")

    def open(self, split: str, encoded: bool = False) -> "ShapeObjectSource":
        """The examples of "train" or "test"; they are never encoded."""
        return ShapeObjectSource(self._shapes.open(split, encoded))

    @property
    def _shapes(self) -> Shapes:
        return Shapes(self.train_size, self.test_size, self.side)

    def largest(self, split: str) -> tuple[int, int, int]:
        """The largest number of objects of an image, of run lengths of a mask, and of keypoints."""
        del split
        return LIMIT, 2 * self.side + 1, 0


@dataclasses.dataclass(frozen=True)
class ShapeObjectSource:
    """One split; examples are those of `boxes.BoxSource`."""

    pictures: ShapesSource

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
        boxes = [runs.bounds(one, image.shape[0]) for one in lengths]
        return {
            "image": image,
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),
            "class": np.array([kind - 1 for kind, _ in objects], np.int32),
            "crowd": np.zeros(len(objects), bool),
            "area": np.array([runs.area(one) for one in lengths], np.float32),
            "runs": lengths,
        }
