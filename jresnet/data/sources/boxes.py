"""Images with boxes, and masks or keypoints, in folders as people have them; `box_layouts` has the
layouts."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jresnet.data import images, runs
from jresnet.data.broken import BrokenExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Example, Info
from jresnet.data.sources.box_layouts import Layout, Options, find_layout
from jresnet.data.sources.box_table import BoxTable
from jresnet.data.sources.files import read_file
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)
_TOLD = 5  # lines about faulty annotations of a split


@dataclasses.dataclass(frozen=True)
class Boxes:
    """A folder of images and boxes, in one of the layouts of `box_layouts`.

    - `folder`: the folder of the set.
    - `classes`: their names; objects of others are left out. By default COCO's categories by their
      ids, the names of YOLO's file, and those that occur in all splits, sorted.
    - `masks`, `keypoints`: whether to read them; None where they are there.
    - `kind`: the first part of the name of COCO's files, such as "person_keypoints"; by default
      "instances" where they are there.
    - `difficult_is_crowd`: whether VOC's difficult objects count for nothing, as in its benchmark.

    Splits are "train", "val" and "test", and "trainval" where VOC has its list; where "test" has no
    boxes it is "val". Faulty annotations are left out, with a line about each (`BoxSource.faults`).
    """

    folder: Path
    classes: tuple[str, ...] = ()
    masks: bool | None = None
    keypoints: bool | None = None
    kind: str = ""
    difficult_is_crowd: bool = True

    def info(self) -> Info:
        """Reads all annotations. Raises UsageError for a folder that is in none of the layouts."""
        tables = self._tables
        counts = {split: len(table.names) for split, table in tables.items()}
        counts.setdefault("test", counts.get("val", 0))
        shape = _image_shape([BoxSource(table, True) for table in tables.values()])
        return Info(str(self.folder), len(self.names), self.names, shape, counts, "box")

    def open(self, split: str, encoded: bool = False) -> "BoxSource":
        """The examples of a split in the order of its file. Raises UsageError."""
        name = "val" if split == "test" and "test" not in self._tables else split
        if name not in self._tables:
            raise UsageError(
                f"split={split!r}: expected one of {', '.join(self._tables)} in "
                f"{shown(self.folder)}"
            )
        self._tell(name)
        return BoxSource(self._tables[name], encoded)

    def largest(self, split: str) -> tuple[int, int, int]:
        """The largest number of objects of an image, of run lengths of a mask, and of keypoints."""
        return self.open(split).largest

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._read[0]

    @property
    def _tables(self) -> dict[str, BoxTable]:
        return self._read[1]

    @functools.cached_property
    def _layout(self) -> Layout:
        masks, keypoints = self.masks is not False, self.keypoints is not False
        options = Options(self.kind, self.difficult_is_crowd, masks, keypoints)
        return find_layout(self.folder, options)

    @functools.cached_property
    def _read(self) -> tuple[tuple[str, ...], dict[str, BoxTable]]:
        """The classes and the splits."""
        rows = {split: read() for split, read in self._layout.splits.items()}
        names = self.classes or self._layout.ordered(list(rows.values()))
        if not names:
            raise UsageError(f"dataset={shown(self.folder)!r}: no boxes; expected at least one")
        masks = any(one.has_masks for one in rows.values())
        points = max(one.points for one in rows.values())
        for field, there in (("masks", masks), ("keypoints", points > 0)):
            if getattr(self, field) and not there:
                raise UsageError(f"{field}=True: {shown(self.folder)!r} has none")
        tables = {}
        for split in list(rows):
            tables[split] = rows.pop(split).table(names, masks)
        return names, tables

    @functools.cached_property
    def _told(self) -> set[str]:
        """The splits whose faulty annotations were logged."""
        return set()

    def _tell(self, split: str) -> None:
        if split in self._told:
            return
        self._told.add(split)
        faults = self._tables[split].faults
        for line in faults[:_TOLD]:
            logger.warning("%s", line)
        if len(faults) > _TOLD:
            logger.warning(
                "%s: %d faulty annotations of %r are left out",
                shown(self.folder),
                len(faults),
                split,
            )


@dataclasses.dataclass(frozen=True, eq=False)
class BoxSource:
    """One split. An example is `image`, its file if `encoded`, and its objects:

    - `boxes` float32 [n, 4], x1 y1 x2 y2 in continuous pixels, and `class` int32 [n];
    - `crowd` bool [n], objects that count for nothing, and `area` float32 [n] in pixels;
    - `runs`, n lists of run lengths (`data.runs`), where the set has masks;
    - `keypoints` float32 [n, K, 3], x, y and visibility 0 to 2, where it has them.
    """

    table: BoxTable
    encoded: bool

    def __len__(self) -> int:
        return len(self.table.names)

    def describe(self, index: int) -> str:
        """The path of the image."""
        return shown(self.table.root / self.table.names[index])

    def faults(self) -> tuple[str, ...]:
        """A line about each annotation that was left out, with its file and number."""
        return self.table.faults

    def sizes(self) -> np.ndarray:
        """Height and width of every image, int [examples, 2]; by their headers where the
        annotations have none, and 0 for broken ones."""
        return self._sizes

    def __getitem__(self, index: int) -> Example:
        """Raises BrokenExampleError for an example without an image, or with a damaged one."""
        file, size = self.file(index)
        pixels = file
        if not self.encoded:
            try:
                pixels = images.decode(file)
            except DecodeError as error:
                raise self._unreadable(index, error) from error
        return {"image": pixels, **self.objects(index, size)}

    def objects(self, index: int, size: tuple[int, int]) -> Example:
        """An example without its image, which is of this (height, width)."""
        table, (height, width) = self.table, size
        rows = slice(int(table.starts[index]), int(table.starts[index + 1]))
        boxes, area = table.boxes[rows].copy(), table.area[rows].copy()
        if table.relative:
            boxes *= np.array([width, height, width, height], np.float32)
        example: Example = {"class": table.classes[rows].copy(), "crowd": table.crowd[rows].copy()}
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        if table.masks is not None:
            lengths = [table.masks.runs(row, *size) for row in range(rows.start, rows.stop)]
            example["runs"] = lengths
            areas = np.array([runs.area(one) for one in lengths], np.float32)
        if table.keypoints is not None:
            example["keypoints"] = table.keypoints[rows].copy()
            if table.relative:
                example["keypoints"][..., :2] *= np.array([width, height], np.float32)
        return example | {"boxes": boxes, "area": np.where(np.isnan(area), areas, area)}

    @functools.cached_property
    def largest(self) -> tuple[int, int, int]:
        """The largest number of objects of an image, of run lengths of a mask, and of keypoints."""
        table = self.table
        objects = int(np.diff(table.starts).max(initial=0))
        points = 0 if table.keypoints is None else table.keypoints.shape[1]
        lengths = 0
        if table.masks is not None:
            for index, size in enumerate(self.sizes().tolist()):
                for row in range(table.starts[index], table.starts[index + 1]):
                    lengths = max(lengths, len(table.masks.runs(row, *size)) if all(size) else 0)
        return objects, lengths, points

    @functools.cached_property
    def _sizes(self) -> np.ndarray:
        sizes = self.table.sizes.astype(np.int64)
        unknown = np.flatnonzero(~sizes.all(1)).tolist()

        def measure(index: int) -> tuple[int, int]:
            try:
                return self.file(index)[1]
            except BrokenExampleError:
                return 0, 0

        with ThreadPoolExecutor(decoding_threads(0)) as threads:
            sizes[unknown] = np.reshape(list(threads.map(measure, unknown)), (-1, 2))
        return sizes

    def file(self, index: int) -> tuple[bytes, tuple[int, int]]:
        """The bytes of an image, and its height and width. Raises BrokenExampleError."""
        if index in self.table.problems:
            raise BrokenExampleError(self.table.problems[index])
        try:
            file = read_file(self.table.root / self.table.names[index])
            height, width, _ = images.header(file)
        except (DecodeError, OSError) as error:
            raise self._unreadable(index, error) from error
        stated = tuple(self.table.sizes[index].tolist())
        if all(stated) and stated != (height, width):
            raise BrokenExampleError(
                f"{self.describe(index)}: is {height} x {width}: expected {stated[0]} x "
                f"{stated[1]}, as its annotations say"
            )
        return file, (height, width)

    def _unreadable(self, index: int, error: Exception) -> BrokenExampleError:
        return BrokenExampleError(f"{self.describe(index)}: not a readable image ({error})")


def _image_shape(sources: Sequence[BoxSource]) -> tuple[int | None, ...]:
    """(height, width, channels), None where sizes differ; by up to 64 headers, and all annotations."""
    headers = set()
    first = sources[0]
    for index in np.unique(np.linspace(0, len(first) - 1, 64).astype(int)).tolist():
        try:
            headers.add(images.header(first.file(index)[0]))
        except BrokenExampleError:
            continue  # whoever reads it is told
    if not headers:
        raise UsageError(f"{first.describe(0)}: not one image looked at is readable")
    sizes = {(height, width) for height, width, _ in headers}
    for known in (source.table.sizes for source in sources):
        sizes |= {tuple(size) for size in np.unique(known[known.all(1)], axis=0).tolist()}
    size = sizes.pop() if len(sizes) == 1 else (None, None)
    return (*size, max(channels for *_, channels in headers))
