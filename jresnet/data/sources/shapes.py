"""Made-up pictures of circles, squares and triangles with their label maps, which need no download."""

import dataclasses

import numpy as np

from jresnet.data.info import Example, Info

CLASSES = ("background", "circle", "square", "triangle")


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Pictures of `side` x `side` pixels with one to four shapes in random colours on grey noise.

    Where shapes overlap the later one is in front.
    """

    train_size: int = 512
    test_size: int = 128
    side: int = 64

    def info(self) -> Info:
        sizes = {"train": self.train_size, "test": self.test_size}
        shape = (self.side, self.side, 3)
        return Info("shapes", len(CLASSES), CLASSES, shape, sizes, "pixel")

    def open(self, split: str, encoded: bool = False) -> "ShapesSource":
        """The examples of "train" or "test"; they are never encoded."""
        del encoded
        return ShapesSource(split, self.info().sizes[split], self.side)


@dataclasses.dataclass(frozen=True)
class ShapesSource:
    """One split. An example is a function of its split and number alone."""

    split: str
    size: int
    side: int

    def __len__(self) -> int:
        return self.size

    def describe(self, index: int) -> str:
        """Such as "shapes train 7"."""
        return f"shapes {self.split} {index}"

    def __getitem__(self, index: int) -> Example:
        image, shapes = self.drawn(index)
        labels = np.zeros((self.side, self.side), np.int32)
        for kind, inside in shapes:
            labels[inside] = kind
        return {"image": image, "map": labels}

    def drawn(self, index: int) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
        """A picture uint8 [side, side, 3], and the class and pixels of each shape, the last in front."""
        rng = np.random.default_rng((self.split == "test", index))
        image = rng.normal(rng.uniform(60, 190), 25, (self.side, self.side, 1))
        image = np.repeat(image, 3, -1) + rng.normal(0, 8, 3)
        shapes = []
        for _ in range(rng.integers(1, 5)):
            kind = int(rng.integers(1, len(CLASSES)))
            inside = self._inside(kind, rng)
            image[inside] = rng.uniform(0, 255, 3) + rng.normal(0, 20, (int(inside.sum()), 3))
            shapes.append((kind, inside))
        return image.clip(0, 255).astype(np.uint8), shapes

    def _inside(self, kind: int, rng: np.random.Generator) -> np.ndarray:
        """The pixels of a shape at a random place, of a random size and angle."""
        radius = rng.uniform(0.1, 0.22) * self.side
        place = rng.uniform(radius, self.side - radius, 2)
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[: self.side, : self.side] + 0.5 - place[:, None, None]
        if kind == 1:
            return x**2 + y**2 < radius**2
        corners = 4 if kind == 2 else 3
        # Inside of a regular polygon is on the inner side of all its edges.
        normals = angle + 2 * np.pi * np.arange(corners) / corners
        reach = radius * np.cos(np.pi / corners)
        inner = [np.cos(n) * x + np.sin(n) * y < reach for n in normals]
        return np.all(inner, 0)
