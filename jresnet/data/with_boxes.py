"""Transforms of images with boxes, on the host: image, boxes, masks and keypoints move together."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import numpy as np

from jresnet.data import images
from jresnet.data.augment.geometry import PADDING
from jresnet.data.broken import ExampleError
from jresnet.data.buckets import Bucketed, nearest_proportions
from jresnet.data.info import Dataset, Example, Info, Spec
from jresnet.data.placement import Placement, Size
from jresnet.data.runs import cropped
from jresnet.errors import UsageError


class ObjectSet(Dataset, Protocol):
    """A dataset of images with boxes."""

    @property
    def mirrored(self) -> tuple[int, ...] | None:
        """The keypoint that takes each one's place in a mirror image; None where nothing tells."""
        ...

    @property
    def categories(self) -> tuple[int, ...]:
        """The ids of the classes in COCO's format; () for a set that has none."""
        ...

    def largest(self, split: str) -> tuple[int, int, int]:
        """The largest number of objects of an image, of run lengths of a mask, and of keypoints."""
        ...


@dataclasses.dataclass(frozen=True)
class FitWithBoxes:
    """Whole images, scaled to fit and padded with 0 at the right and below, and `limit` objects.

    - size: (height, width) of every result; None for images that are of one size and stay so.
    - channels: 3 or 1.
    - limit: rows of objects. An image with more is an ExampleError; with `training` the largest
      objects stay.
    - cells: masks are cropped to their boxes, at cells x cells; None for no masks.
    - runs: the most run lengths of a mask, which come too for exact evaluation; None for none.
    - keypoints: those of an object; 0 for none.
    - enlarge: whether images smaller than `size` are scaled up.
    - shortest: pixels of the shorter side, but for `longest` (by default that of `size`) of the
      longer one, as torchvision scales; `enlarge` has no say then.
    - training: whether boxes are clipped to the image, and crowds and boxes of which less than
      `smallest` pixels are left along a side become padding.

    Stored examples are those of `sources.boxes.BoxSource`; one without boxes, as in prediction, has
    no objects. Results are `image` uint8 `[*size, channels]`; `size` float32 `[2]`, height and
    width of the part that is no padding; `place` float32 `[2, 3]`, from (x, y, 1) in the result to
    (x, y) in the image; `original` int32 `[2]`, its height and width; and by `limit` rows:

    - `boxes` float32 `[limit, 4]` x1 y1 x2 y2 in pixels of the result, `class` int32, -1 for
      padding, `crowd` bool, `area` float32 in pixels of the image;
    - with `cells` `masks` uint8 `[limit, cells, cells]`, the covered share of each cell, 255 for
      all, of `frames` float32 `[limit, 4]`, the whole box, not clipped;
    - with `runs` `runs` uint32 `[limit, runs]`, those of the image, 0 after the last;
    - with `keypoints` `keypoints` float32 `[limit, keypoints, 3]`, x, y and visibility.
    """

    size: Size | None = None
    channels: int = 3
    limit: int = 100
    cells: int | None = None
    runs: int | None = None
    keypoints: int = 0
    enlarge: bool = False
    shortest: int | None = None
    longest: int | None = None
    training: bool = False
    smallest: float = 1.0

    def __post_init__(self) -> None:
        for field, low in (("limit", 1), ("cells", 1), ("runs", 1), ("keypoints", 0)):
            value = getattr(self, field)
            if value is not None and value < low:
                raise UsageError(f"{field}={value}: expected at least {low}")

    def spec(self, info: Info) -> Spec:
        """Raises UsageError where images differ in size and none is given."""
        size = self.size or (info.fixed_shape or ())[:2]
        if not size:
            raise UsageError(f"dataset={info.name!r}: its images differ in size; expected a size")
        if info.class_of != "box":
            raise UsageError(f"dataset={info.name!r}: its images have no boxes")
        arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self._rows.items()}
        arrays |= {"size": np.zeros(2, np.float32), "place": np.zeros((2, 3), np.float32)}
        arrays |= {"original": np.zeros(2, np.int32)}
        spec = {name: jax.ShapeDtypeStruct(x.shape, x.dtype) for name, x in arrays.items()}
        return spec | {"image": jax.ShapeDtypeStruct((*size, self.channels), np.uint8)}

    def __call__(self, example: Example, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Raises DecodeError, and ExampleError for more objects than rows."""
        image = images.as_channels(example["image"], self.channels)
        height, width = image.shape[:2]
        placement = self.placement(height, width, rng)
        return {
            "image": placement.pixels(image, self.size or (height, width)),
            "size": np.array(placement.part, np.float32),
            "place": placement.matrix.astype(np.float32),
            "original": np.array([height, width], np.int32),
            **self.objects(example, placement),
        }

    def placement(self, height: int, width: int, rng: np.random.Generator) -> Placement:
        """How an image of this size is scaled and cut."""
        del rng
        scaled = self._fitted(height, width, self.shortest)
        return Placement((height, width), scaled, (0, 0), scaled)

    def place(self, height: int, width: int) -> np.ndarray:
        """`[2, 3]` from (x, y, 1) in the result to (x, y) in an image of this size."""
        return self.placement(height, width, np.random.default_rng(0)).matrix

    def validate(self, arrays: Mapping[str, np.ndarray], info: Info) -> None:
        """Raises ExampleError for a class that the dataset does not have."""
        classes = arrays["class"]
        if len(classes) and not PADDING <= classes.min() <= classes.max() < info.num_classes:
            worst = classes.min() if classes.min() < PADDING else classes.max()
            raise ExampleError(f"class {worst} of a box: expected 0 to {info.num_classes - 1}")

    def objects(self, example: Example, placement: Placement) -> dict[str, np.ndarray]:
        """The rows of objects. Raises ExampleError."""
        result = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self._rows.items()}
        result["class"][:] = PADDING
        stored = np.asarray(example.get("boxes", np.zeros((0, 4))), np.float32).reshape(-1, 4)
        crowd = np.asarray(example.get("crowd", np.zeros(len(stored))), bool)
        frames = placement.boxes(stored)
        boxes, kept = frames, np.arange(len(stored))
        if self.training:
            height, width = placement.part
            boxes = np.clip(frames, 0, np.array([width, height, width, height], np.float32))
            sides = (boxes[:, 2:] - boxes[:, :2]).min(1, initial=np.inf)
            kept = np.flatnonzero(~crowd & (sides > 0) & (sides >= self.smallest))
        kept = self._chosen(kept, boxes)
        if not (count := len(kept)):
            return result
        whole = (stored[:, 2:] - stored[:, :2]).prod(1)
        result["boxes"][:count] = boxes[kept]
        result["class"][:count] = example["class"][kept]
        result["crowd"][:count] = crowd[kept]
        result["area"][:count] = np.asarray(example.get("area", whole))[kept]
        if self.cells is not None:
            result["frames"][:count] = frames[kept]
            for row, one in enumerate(self._lengths(example, kept)):
                box = stored[kept[row]]
                result["masks"][row] = cropped(one, *placement.original, box, self.cells)
        if self.runs is not None:
            for row, one in enumerate(self._lengths(example, kept)):
                result["runs"][row, : len(one)] = one
        if self.keypoints:
            result["keypoints"][:count] = self._points(example, kept, placement)
        return result

    @property
    def _rows(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape and type of the arrays of objects."""
        rows: dict[str, tuple[tuple[int, ...], Any]] = {
            "boxes": ((self.limit, 4), np.float32),
            "class": ((self.limit,), np.int32),
            "crowd": ((self.limit,), bool),
            "area": ((self.limit,), np.float32),
        }
        if self.cells is not None:
            rows["masks"] = (self.limit, self.cells, self.cells), np.uint8
            rows["frames"] = (self.limit, 4), np.float32
        if self.runs is not None:
            rows["runs"] = (self.limit, self.runs), np.uint32
        if self.keypoints:
            rows["keypoints"] = (self.limit, self.keypoints, 3), np.float32
        return rows

    def _fitted(self, height: int, width: int, shortest: int | None, factor: float = 1.0) -> Size:
        """The size of an image that is scaled by the rules, and then by `factor`."""
        if self.size is None:
            return height, width
        scale = min(self.size[0] / height, self.size[1] / width)
        whole = round
        if shortest is not None:  # torchvision's rounding, of the factor too
            longest = self.longest or max(self.size)
            rule = min(shortest / min(height, width), longest / max(height, width))
            scale, whole = min(scale, float(np.float32(rule))), math.floor
        elif not self.enlarge:
            scale = min(1.0, scale)
        return max(1, whole(height * scale * factor)), max(1, whole(width * scale * factor))

    def _chosen(self, kept: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """At most `limit` of the objects, in their order."""
        if len(kept) <= self.limit:
            return kept
        if not self.training:
            raise ExampleError(f"has {len(kept)} objects: expected at most limit={self.limit}")
        area = (boxes[kept, 2:] - boxes[kept, :2]).prod(1)
        return np.sort(kept[np.argsort(-area, kind="stable")[: self.limit]])

    def _lengths(self, example: Example, kept: np.ndarray) -> list[np.ndarray]:
        if "runs" not in example:
            raise ExampleError("has no masks: expected those of its objects")
        lengths = [example["runs"][row] for row in kept]
        longest = max(map(len, lengths))
        if self.runs is not None and longest > self.runs:
            raise ExampleError(f"has a mask of {longest} run lengths: expected runs={self.runs}")
        return lengths

    def _points(self, example: Example, kept: np.ndarray, placement: Placement) -> np.ndarray:
        if "keypoints" not in example or example["keypoints"].shape[1] != self.keypoints:
            raise ExampleError(f"has not keypoints={self.keypoints} for each of its objects")
        points = np.asarray(example["keypoints"][kept], np.float32)
        visible = points[..., 2:] > 0
        places = placement.moved(points[..., :2])
        if self.training:
            limit = np.array(placement.part[::-1], np.float32)
            visible &= ((places >= 0) & (places <= limit)).all(-1, keepdims=True)
        return np.concatenate([places, points[..., 2:]], -1) * visible


@dataclasses.dataclass(frozen=True)
class RandomCropWithBoxes(FitWithBoxes):
    """Large-scale jitter (Ghiasi et al. 2020, arXiv:2012.07177): a fixed crop at a random scale.

    An image is scaled to fit `size` times a factor between `low` and `high`; a random part of
    `size` is cut from what is larger, and what is smaller is padded.
    """

    enlarge: bool = True
    training: bool = True
    low: float = 0.1
    high: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is None:
            raise UsageError("size=None: expected (height, width)")
        if not 0 < self.low <= self.high:
            raise UsageError(f"low={self.low}, high={self.high}: expected 0 < low <= high")

    def placement(self, height: int, width: int, rng: np.random.Generator) -> Placement:
        """A random scale and place."""
        assert self.size is not None
        factor = float(rng.uniform(self.low, self.high))
        scaled = self._fitted(height, width, self.shortest, factor)
        part = min(scaled[0], self.size[0]), min(scaled[1], self.size[1])
        corner = tuple(
            int(rng.integers(0, whole - side + 1)) for whole, side in zip(scaled, part, strict=True)
        )
        return Placement((height, width), scaled, corner, part)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class RandomSideWithBoxes(FitWithBoxes):
    """Whole images whose shorter side is one of `sides` at random, as detectron2 trains."""

    training: bool = True
    sides: tuple[int, ...] = (640, 672, 704, 736, 768, 800)

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.sides, default=0) < 1:
            raise UsageError(f"sides={self.sides}: expected pixels, at least one number")

    def placement(self, height: int, width: int, rng: np.random.Generator) -> Placement:
        """The whole image at a random scale."""
        scaled = self._fitted(height, width, int(rng.choice(self.sides)))
        return Placement((height, width), scaled, (0, 0), scaled)


def by_proportions(transform: FitWithBoxes, shorter: int, longer: int) -> Bucketed:
    """`transform` in three sizes: landscape, portrait, and a square between them.

    An image goes where its proportions are nearest, so that an epoch of mixed sizes makes three
    programs. The square's side is the geometric mean of the others, up to a multiple of 32.
    """
    side = 32 * math.ceil(math.sqrt(shorter * longer) / 32)
    sizes = (shorter, longer), (longer, shorter), (side, side)
    each = tuple(dataclasses.replace(transform, size=size) for size in sizes)
    return Bucketed(each, nearest_proportions)
