"""The images of a split and the objects in them as arrays, and the check of every object.

A reader adds objects to `Rows` as it meets them; `Rows.table` leaves out the faulty ones, with a
line about each, and packs the rest image by image.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.data.sources.box_masks import Mask, Masks, pack
from jresnet.text import shown

NAMELESS = -1  # the class of an object whose class is unknown
FARTHEST = 1 << 24  # pixels from the corner of an image; float32 has no finer ones beyond


@dataclasses.dataclass(frozen=True, eq=False)
class BoxTable:
    """The images of a split with their objects, one after the other.

    - root, names: the folder of the images, and their files in it.
    - sizes: height and width by the annotations, int32 `[images, 2]`; 0 where they have none.
    - problems: a line about each image that cannot be used, by its position.
    - starts: the first row of each image, int64 `[images + 1]`.
    - boxes, classes, crowd, area: of each row; area is nan where no file has it.
    - masks, keypoints: None for a set without; keypoints are float32 `[rows, K, 3]`.
    - relative: whether places are shares of the image's sides.
    - faults: a line about each annotation that was left out.
    - remarks: lines about how the set was read, such as images that have no label file.
    """

    root: Path
    names: tuple[str, ...]
    sizes: np.ndarray
    problems: Mapping[int, str]
    starts: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    masks: Masks | None
    keypoints: np.ndarray | None
    relative: bool
    faults: tuple[str, ...]
    remarks: tuple[str, ...] = ()


class Rows:
    """Objects as a reader meets them, one split of a set.

    Args:
        root: the folder of the images.
        noun: the word for an object in the messages, such as "annotation".
        points: keypoints of an object; 0 for a set without.
        relative: whether places are shares of the image's sides.
        one_based: whether corners are VOC's, whose first pixel is 1 and whose last is inside.
    """

    def __init__(
        self,
        root: Path,
        noun: str,
        *,
        points: int = 0,
        relative: bool = False,
        one_based: bool = False,
    ):
        self.root, self.noun, self.points = root, noun, points
        self.relative, self.one_based = relative, one_based
        self.listed: tuple[str, ...] = ()  # all classes by their numbers, where a file has them
        self.mirrored: tuple[int, ...] | None = None  # the keypoint in each one's place in a mirror
        self.names: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self.problems: dict[int, str] = {}
        self.classes: dict[str, int] = {}
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self.ids: dict[str, Any] = {}  # of the classes, where a file has them
        self._rows: list[tuple[int, int, bool, float]] = []  # image, class, crowd, area
        self._boxes: list[tuple[float, float, float, float]] = []
        self._titles: list[tuple[str, Any]] = []
        self._masks: list[Mask | None] = []
        self._keypoints: list[np.ndarray | None] = []

    def image(self, name: str, size: tuple[int, int] = (0, 0), problem: str = "") -> int:
        """Add an image by its file in `root`, of (height, width) where that is known."""
        if problem:
            self.problems[len(self.names)] = problem
        self.names.append(name)
        self.sizes.append(size)
        return len(self.names) - 1

    def add(
        self,
        image: int,
        label: str,
        box: Sequence[float],
        title: tuple[str, Any],
        *,
        crowd: bool = False,
        area: float = math.nan,
        mask: Mask | None = None,
        keypoints: np.ndarray | None = None,
    ) -> None:
        """Add an object.

        Args:
            image: the position of its image.
            label: the name of its class.
            box: its corners x1 y1 x2 y2, as the file has them.
            title: its file and its number, by which messages name it.
            crowd: whether it is many objects, or one that is too hard to count.
            area: in pixels; nan where the file has none.
            mask: its runs, or polygons.
            keypoints: float32 [K, 3], x and y in continuous pixels and visibility.

        Raises:
            ValueError, TypeError: for a box that is not four numbers.
        """
        x1, y1, x2, y2 = (float(edge) for edge in box)
        number = self.classes.setdefault(label, len(self.classes))
        self._rows.append((image, number, crowd, area))
        self._boxes.append((x1, y1, x2, y2))
        self._titles.append(title)
        self._masks.append(mask)
        self._keypoints.append(keypoints)

    def fault(self, title: tuple[str, Any], text: object, noun: str = "") -> None:
        """Note that something is left out, and why."""
        file, number = title
        self.faults.append(f"{shown(file)}: {noun or self.noun} {shown(number, 60)}: {shown(text)}")

    def part(self, images: Sequence[int]) -> "Rows":
        """The images at these positions and their objects; what was left out stays with `self`."""
        part = Rows(
            self.root,
            self.noun,
            points=self.points,
            relative=self.relative,
            one_based=self.one_based,
        )
        part.listed, part.mirrored, part.classes = self.listed, self.mirrored, dict(self.classes)
        places = {image: part.image(self.names[image], self.sizes[image]) for image in images}
        part.problems = {places[i]: text for i, text in self.problems.items() if i in places}
        kept = [row for row, (image, *_) in enumerate(self._rows) if image in places]
        part._rows = [(places[self._rows[row][0]], *self._rows[row][1:]) for row in kept]
        for name in ("_boxes", "_titles", "_masks", "_keypoints"):
            values = getattr(self, name)
            setattr(part, name, [values[row] for row in kept])
        return part

    @property
    def withheld(self) -> bool:
        """Whether all images were left out, as in test splits whose answers nobody has."""
        return not self.names and bool(self.faults)

    @property
    def has_masks(self) -> bool:
        """Whether any object has a mask."""
        return any(mask is not None for mask in self._masks)

    def table(self, classes: Sequence[str], masks: bool) -> BoxTable:
        """The sound objects, numbered as in `classes`; with `masks` those that have a mask."""
        rows = np.array(self._rows, np.float64).reshape(-1, 4)
        boxes = np.array(self._boxes, np.float64).reshape(-1, 4)
        sizes = np.array(self.sizes, np.int32).reshape(-1, 2)
        image = rows[:, 0].astype(np.int64)
        numbers = {name: number for number, name in enumerate(classes)}
        known = [numbers.get(name, NAMELESS) for name in self.classes]
        label = np.array(known, np.int32)[rows[:, 1].astype(np.int64)]
        kept = self._sound(boxes, sizes[image], label, masks)
        order = kept[np.argsort(image[kept], kind="stable")]
        boxes = self._continuous(boxes)
        area = np.where((rows[:, 3] > 0) & (rows[:, 3] < 1e30), rows[:, 3], np.nan)
        points = None
        if self.points:
            points = np.zeros((len(order), self.points, 3), np.float32)
            for place, one in enumerate(self._keypoints[row] for row in order):
                points[place] = 0 if one is None else one
        return BoxTable(
            self.root,
            tuple(self.names),
            sizes,
            dict(self.problems),
            np.searchsorted(image[order], np.arange(len(self.names) + 1)),
            boxes[order].astype(np.float32),
            label[order],
            rows[order, 2] > 0,
            area[order].astype(np.float32),
            pack([self._masks[row] for row in order], self.relative) if masks else None,
            points,
            self.relative,
            tuple(self.faults),
            tuple(self.remarks),
        )

    def _continuous(self, boxes: np.ndarray) -> np.ndarray:
        """Corners as places between pixels, from those of the file."""
        return boxes - [1, 1, 0, 0] if self.one_based else boxes

    def _sound(
        self, boxes: np.ndarray, sizes: np.ndarray, label: np.ndarray, masks: bool
    ) -> np.ndarray:
        """The rows that can be used; a line about each other one."""
        limit = np.ones((len(boxes), 2)) if self.relative else sizes[:, ::-1]
        limit = np.where(limit > 0, limit, np.inf)
        with np.errstate(invalid="ignore"):  # of numbers that are not finite
            places = self._continuous(boxes)
            stated, sides = (each[:, 2:] - each[:, :2] for each in (boxes, places))
        outside = (places[:, 2:] <= 0) | (places[:, :2] >= limit)
        outside |= (np.abs(boxes) > FARTHEST).reshape(-1, 2, 2).any(1)
        # VOC's last pixel is inside, so a box may be one pixel wide; a point is a click that slipped.
        empty = (sides == 0).any(1) | (stated == 0).all(1)
        wrong = {
            "has corners that are not numbers: expected x1 y1 x2 y2": ~np.isfinite(boxes).all(1),
            "has swapped corners: expected x1 < x2 and y1 < y2": (stated < 0).any(1),
            "has no area: expected x1 < x2 and y1 < y2": empty,
            "lies outside of its image": outside.any(1),
        }
        bad = np.zeros(len(boxes), bool)
        for text, rows in wrong.items():
            for row in np.flatnonzero(rows & ~bad).tolist():
                corners = " ".join(f"{edge:g}" for edge in boxes[row])
                self.fault(self._titles[row], f"its box {corners} {text}")
            bad |= rows
        names = list(self.classes)
        for row in np.flatnonzero((label == NAMELESS) & ~bad).tolist():
            name = shown(names[int(self._rows[row][1])], 60)
            self.fault(self._titles[row], f"class {name!r}: expected one that the set has")
        bad |= label == NAMELESS
        if masks:
            for row, mask in enumerate(self._masks):
                if mask is None and not bad[row]:
                    self.fault(self._titles[row], "it has no mask: expected one, as others have")
                    bad[row] = True
        return np.flatnonzero(~bad)


def known_size(height: Any, width: Any) -> tuple[int, int]:
    """The (height, width) of an image as a file has it; zeros where that is no size."""
    try:
        sides = int(float(height)), int(float(width))
    except (TypeError, ValueError, OverflowError):
        return 0, 0
    return sides if min(sides) > 0 and max(sides) < 1 << 31 else (0, 0)
