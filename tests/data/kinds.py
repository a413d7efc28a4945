"""Sets and transforms of other kinds of examples than labelled images, for tests."""

import dataclasses

import jax
import numpy as np

from jresnet.data import images
from jresnet.data.broken import ExampleError
from jresnet.data.info import Example, Info
from tests.data.conftest import encode

SIZES = ((12, 12), (9, 14), (14, 9))  # height, width


def spec(**arrays):
    return {name: jax.ShapeDtypeStruct(shape, dtype) for name, (shape, dtype) in arrays.items()}


@dataclasses.dataclass(frozen=True)
class Boxed:
    """Image files of three sizes with one or two boxes each, and a label map as a file.

    The image of an example in `damaged` is no image, the map of one in `odd` is of another size.
    """

    train_size: int = 37
    test_size: int = 21
    damaged: tuple[int, ...] = ()
    odd: tuple[int, ...] = ()
    sizes: tuple[tuple[int, int], ...] = SIZES

    def info(self):
        sizes = {"train": self.train_size, "test": self.test_size}
        return Info("boxed", 2, ("dark", "bright"), (None, None, 3), sizes, "box")

    def open(self, split, encoded=False):
        assert encoded
        return BoxedSource(self, split, self.info().sizes[split])


@dataclasses.dataclass(frozen=True)
class BoxedSource:
    dataset: Boxed
    split: str
    size: int

    def __len__(self):
        return self.size

    def __getitem__(self, index) -> Example:
        rng = np.random.default_rng((self.split == "test", index))
        height, width = self.dataset.sizes[rng.integers(len(self.dataset.sizes))]
        image = rng.integers(0, 60, (height, width, 3), np.uint8)
        labels = np.zeros((height, width), np.uint8)
        corners, classes = [], []
        for kind in range(rng.integers(1, 3)):
            x, y = rng.integers(0, width - 4), rng.integers(0, height - 4)
            w, h = rng.integers(3, 6, 2)
            corners.append((x, y, min(width, x + w), min(height, y + h)))
            classes.append(kind)
            image[y : y + h, x : x + w] += np.uint8(70 + 70 * kind)
            labels[y : y + h, x : x + w] = 1
        labels[0, 0] = 255
        if index in self.dataset.odd:
            labels = labels[:-1]
        return {
            "image": b"damaged" if index in self.dataset.damaged else encode(image),
            "map": encode(labels),
            "boxes": np.array(corners, np.float32),
            "class": np.array(classes, np.int32),
        }

    def describe(self, index):
        return f"boxed {self.split} {index}.png"


@dataclasses.dataclass(frozen=True)
class PaddedBoxes:
    """The top left part of image and map, filled up with 0 and 255, and `limit` rows of boxes."""

    height: int = 12
    width: int = 12
    limit: int = 2

    def spec(self, info):
        return spec(
            image=((self.height, self.width, 3), np.uint8),
            map=((self.height, self.width), np.int32),
            boxes=((self.limit, 4), np.float32),
            **{"class": ((self.limit,), np.int32)},
        )

    def __call__(self, example, rng):
        image = images.decode(example["image"])
        labels = images.decode(example["map"], 1)[..., 0]
        if labels.shape != image.shape[:2]:
            raise ExampleError(f"a map of {labels.shape} for an image of {image.shape[:2]}")
        rows = len(example["boxes"])
        arrays = {
            "image": np.zeros((self.height, self.width, 3), np.uint8),
            "map": np.full((self.height, self.width), 255, np.int32),
            "boxes": np.zeros((self.limit, 4), np.float32),
            "class": np.full(self.limit, -1, np.int32),
        }
        height, width = (min(a, b) for a, b in zip(labels.shape, (self.height, self.width), strict=True))  # fmt: skip
        arrays["image"][:height, :width] = image[:height, :width]
        arrays["map"][:height, :width] = labels[:height, :width]
        limit = np.array([width, height, width, height], np.float32)
        arrays["boxes"][:rows] = np.minimum(example["boxes"], limit)
        arrays["class"][:rows] = example["class"]
        return arrays

    def validate(self, arrays, info):
        if (worst := arrays["class"].max()) >= info.num_classes:
            raise ExampleError(f"class {worst}: expected 0 to {info.num_classes - 1}")


@dataclasses.dataclass(frozen=True)
class Moving:
    """Clips of arrays with the place of two points in each frame, and no class."""

    train_size: int = 19
    test_size: int = 7

    def info(self):
        return Info("moving", sizes={"train": self.train_size, "test": self.test_size}, class_of=None)  # fmt: skip

    def open(self, split, encoded=False):
        return MovingSource(split, self.info().sizes[split])


@dataclasses.dataclass(frozen=True)
class MovingSource:
    split: str
    size: int

    def __len__(self):
        return self.size

    def __getitem__(self, index) -> Example:
        rng = np.random.default_rng((self.split == "test", index))
        frames = rng.integers(0, 256, (6, 5, 7, 3), np.uint8)
        return {"clip": frames, "points": rng.random((6, 2, 2)).astype(np.float32)}

    def describe(self, index):
        return f"moving {self.split} clip {index}"


@dataclasses.dataclass(frozen=True)
class Frames:
    """`count` neighbouring frames at a random place, and the points in them."""

    count: int = 4

    def spec(self, info):
        return spec(
            image=((self.count, 5, 7, 3), np.uint8),
            keypoints=((self.count, 2, 3), np.float32),
            start=((), np.int32),
        )

    def __call__(self, example, rng):
        start = int(rng.integers(0, len(example["clip"]) - self.count + 1))
        points = example["points"][start : start + self.count]
        return {
            "image": example["clip"][start : start + self.count],
            "keypoints": np.concatenate([points, np.ones_like(points[..., :1])], -1),
            "start": np.asarray(start, np.int32),
        }
