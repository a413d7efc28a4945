"""Transforms of prepared volumes with a label map: random patches, and whole volumes."""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import ExampleError
from jresnet.data.info import Example, Info, Spec
from jresnet.data.volumes import Size
from jresnet.data.with_map import check_classes
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class WholeVolume:
    """`image` float32 `[*size, channels]`, `map` int32 `[*size]` and `spacing` float32 `[3]`.

    Volumes are taken whole. One that is smaller than `size` is padded on both sides by 0, which the
    map ignores; one that is larger cannot be used. Stored examples are prepared
    (`volumes.Preparation`): `image`, `map` unless nothing is known of it, and `spacing` in
    millimetres, by default 1. The total stride of the net is a whole fraction of `multiple`.
    """

    size: Size
    multiple: int = 1

    def holding(self, sides: tuple[int, ...]) -> "WholeVolume":
        """The smallest transform that volumes of these sides fit in, in multiples of `multiple`."""
        depth, height, width = (-(-side // self.multiple) * self.multiple for side in sides)
        return WholeVolume((depth, height, width), self.multiple)

    def spec(self, info: Info) -> Spec:
        """Raises UsageError for a set without channels that are known."""
        if not info.image_shape or info.image_shape[-1] is None:
            raise UsageError(f"dataset={info.name!r}: expected volumes of as many channels each")
        return {
            "image": jax.ShapeDtypeStruct((*self.size, info.image_shape[-1]), np.float32),
            "map": jax.ShapeDtypeStruct(self.size, np.int32),
            "spacing": jax.ShapeDtypeStruct((3,), np.float32),
        }

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises ExampleError for a map of another size, and a volume that is too large."""
        image, labels = _arrays(example)
        if any(side > room for side, room in zip(labels.shape, self.size, strict=True)):
            raise ExampleError(f"volume is {labels.shape}: expected at most {self.size}")
        return self.part(example, image, labels, middle(labels.shape, self.size))

    def part(
        self, example: Example, image: np.ndarray, labels: np.ndarray, corner: list[int]
    ) -> dict[str, np.ndarray]:
        """The arrays of the part that begins at `corner`."""
        spacing = np.asarray(example.get("spacing", (1, 1, 1)), np.float32)
        return {**cut(image, labels, corner, self.size), "spacing": spacing}

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raises ExampleError for a class that the set does not have."""
        check_classes(arrays["map"], info)


@dataclasses.dataclass(frozen=True)
class RandomPatch(WholeVolume):
    """A random part of `size` of a volume; one that is smaller is padded.

    With probability `foreground` the part lies about a voxel of a class other than 0: a random
    class of those in the volume, a random voxel of it (nnU-Net, arXiv:1809.10486, section 2.4, where it
    is a third of each batch instead of a draw an example).
    """

    foreground: float = 1 / 3

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises ExampleError for a map of another size."""
        image, labels = _arrays(example)
        centre = _foreground(labels, rng) if rng.random() < self.foreground else None
        corner = []
        for axis, (side, room) in enumerate(zip(labels.shape, self.size, strict=True)):
            last = max(side - room, 0)
            if side <= room:
                corner.append(middle((side,), (room,))[0])
            elif centre is None:
                corner.append(int(rng.integers(0, last + 1)))
            else:
                corner.append(int(np.clip(centre[axis] - room // 2, 0, last)))
        return self.part(example, image, labels, corner)


def _foreground(labels: np.ndarray, rng: np.random.Generator) -> tuple[int, ...] | None:
    """A random voxel of a random class that is neither 0 nor ignored; None if there is none."""
    present = np.flatnonzero(np.bincount(labels.reshape(-1)[labels.reshape(-1) >= 0]))
    present = present[(present != 0) & (present != IGNORED)]
    if not len(present):
        return None
    places = np.flatnonzero(labels == rng.choice(present))
    return tuple(int(i) for i in np.unravel_index(rng.choice(places), labels.shape))


def middle(shape: tuple[int, ...], size: tuple[int, ...]) -> list[int]:
    """The corner of a part of `size` with the volume in its middle; none is above 0."""
    return [-((room - side) // 2) for side, room in zip(shape, size, strict=True)]


def cut(
    image: np.ndarray, labels: np.ndarray, corner: list[int], size: tuple[int, ...]
) -> dict[str, np.ndarray]:
    """The part of `size` that begins at `corner`, which may lie outside; there it is padded."""
    result = {
        "image": np.zeros((*size, image.shape[-1]), np.float32),
        "map": np.full(size, IGNORED, np.int32),
    }
    source, target = [], []
    for start, side, room in zip(corner, labels.shape, size, strict=True):
        low, high = max(start, 0), min(start + room, side)
        source.append(slice(low, high))
        target.append(slice(low - start, high - start))
    result["image"][tuple(target)] = image[tuple(source)]
    result["map"][tuple(target)] = labels[tuple(source)]
    return result


def _arrays(example: Example) -> tuple[np.ndarray, np.ndarray]:
    image = example["image"]
    labels = example.get("map")
    if labels is None:
        return image, np.full(image.shape[:-1], IGNORED, np.int32)
    if labels.shape != image.shape[:-1]:
        raise ExampleError(f"its map is {labels.shape}: expected {image.shape[:-1]} as its image")
    return image, labels
