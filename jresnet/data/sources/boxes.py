"""Images with boxes, and masks or keypoints, in folders as people have them; `box_layouts` has the
layouts."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.info import Info
from jresnet.data.sources.box_layouts import Layout, Options, find_layout
from jresnet.data.sources.box_source import BoxSource, measure
from jresnet.data.sources.box_splits import with_validation
from jresnet.data.sources.box_table import BoxTable, Rows
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
    boxes it is "val", and where there is a split to train on alone, a fifth of its images is "val",
    drawn by name (`box_splits`). Faulty annotations are left out, with a line about each
    (`BoxSource.faults`).
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
    def categories(self) -> tuple[int, ...]:
        """The ids of the classes where files of COCO's format have them, otherwise ()."""
        ids = [self._read[3].get(name) for name in self.names]
        known = tuple(number for number in ids if isinstance(number, int))
        return known if len(known) == len(ids) else ()

    @property
    def mirrored(self) -> tuple[int, ...] | None:
        """The keypoint that takes each one's place in a mirror image, as `geometry.carry` takes it;
        None without keypoints, or where no file tells."""
        return self._read[2]

    @property
    def _tables(self) -> dict[str, BoxTable]:
        return self._read[1]

    @functools.cached_property
    def _layout(self) -> Layout:
        masks, keypoints = self.masks is not False, self.keypoints is not False
        options = Options(self.kind, self.difficult_is_crowd, masks, keypoints)
        return find_layout(self.folder, options)

    @functools.cached_property
    def _read(
        self,
    ) -> tuple[tuple[str, ...], dict[str, BoxTable], tuple[int, ...] | None, dict[str, Any]]:
        """The classes, the splits, the keypoints of a mirror image, and the ids of classes."""
        rows = {split: read() for split, read in self._layout.splits.items()}
        present = self._layout.ordered(list(rows.values()))
        if self.classes and not set(self.classes) & set(present):
            raise UsageError(
                f"classes={' '.join(self.classes)}: expected some of {', '.join(present) or 'none'}"
            )
        names = self.classes or present
        if not names:
            raise UsageError(f"dataset={shown(self.folder)!r}: no boxes; expected at least one")
        for split in [split for split, one in rows.items() if one.withheld]:
            logger.warning("%s: %r has no annotations: left out", shown(self.folder), split)
            del rows[split]
        rows, drawn = with_validation(rows, self.folder)
        if drawn:
            logger.warning("%s", drawn)
        masks = self.masks is not False and any(one.has_masks for one in rows.values())
        points = max(one.points for one in rows.values())
        for field, there in (("masks", masks), ("keypoints", points > 0)):
            if getattr(self, field) and not there:
                raise UsageError(f"{field}=True: {shown(self.folder)!r} has none")
        mirrored = next((one.mirrored for one in rows.values() if one.mirrored), None)
        ids = next((one.ids for one in rows.values() if one.ids), {})
        tables = {}
        for split in list(rows):
            _measure(rows[split])
            tables[split] = rows.pop(split).table(names, masks)
        return names, tables, mirrored, ids

    @functools.cached_property
    def _told(self) -> set[str]:
        """The splits whose faulty annotations were logged."""
        return set()

    def _tell(self, split: str) -> None:
        if split in self._told:
            return
        self._told.add(split)
        for line in self._tables[split].remarks:
            logger.warning("%s", line)
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


def _measure(rows: Rows) -> None:
    """Fill in the sizes that the annotations lack, to find boxes outside of their image."""
    unknown = [index for index, size in enumerate(rows.sizes) if not all(size)]
    if rows.relative or not unknown:
        return
    sizes = measure([rows.root / rows.names[index] for index in unknown])
    for index, (height, width) in zip(unknown, sizes.tolist(), strict=True):
        rows.sizes[index] = height, width


def _image_shape(sources: Sequence[BoxSource]) -> tuple[int | None, ...]:
    """(height, width, channels), None where they differ; by 64 headers and all annotations."""
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
