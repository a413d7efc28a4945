"""Images with a label map each, in folders as people have them; `map_layouts` has the layouts.

A map is a palette or grey image whose pixels are class numbers, named by the lines of `classes.txt`
in the folder; or an image of colours, of which a table in the folder has each class's
(`map_files.TABLES`).
"""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jresnet.data import images
from jresnet.data.broken import BrokenExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Example, Info
from jresnet.data.sources.files import read_file, read_listing
from jresnet.data.sources.known_maps import (
    ADE20K_LIST,
    CITYSCAPES,
    CITYSCAPES_IDS,
    COCO_STUFF,
    VOC,
    ade20k,
)
from jresnet.data.sources.map_files import ColourTable, find_table, read_map
from jresnet.data.sources.map_layouts import TRAIN_IDS, Folders, find_pairs, folders_in
from jresnet.data.sources.map_pairs import Pair
from jresnet.data.sources.map_values import (
    FOREGROUND,
    check_names,
    ignored_values,
    known_values,
    to_classes,
)
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)
_MANY = 2000  # maps that take long to read


@dataclasses.dataclass(frozen=True)
class LabelMaps:
    """A folder of images and label maps, in one of the layouts of `map_layouts`.

    - `folder`: the folder of the set.
    - `classes`: their names; by default those of a table of colours, of `classes.txt`, of VOC, of
      Cityscapes, of COCO-Stuff, or of ADE20K's list. Without any, the classes are the numbers that
      occur in the maps of `train`.
    - `ignored`: values of a map's pixels that are no class; by default 255, and none with
      `foreground`.
    - `first`: the value of class 0; 1 for ADE20K, whose 0 is ignored.
    - `foreground`: two classes, 0 where a map's pixel is 0, and 1 for any other value: maps of
      instances, whose values number the objects, and masks of 0 and 255.

    Splits are "train", "val" and "test"; where "test" has no maps it is "val". The values of
    Cityscapes' maps are known: only `foreground` changes them.
    """

    folder: Path
    classes: tuple[str, ...] = ()
    ignored: tuple[int, ...] | None = None
    first: int = 0
    foreground: bool = False

    def info(self) -> Info:
        """Raises UsageError for a folder that is in none of the layouts.

        The image shape is that of all files if they are of one size, by up to 64 headers a split.
        """
        splits = self._splits
        if self._cityscapes:
            self._check_changes()
        sizes = {split: len(pairs) for split, pairs in splits.items()}
        sizes.setdefault("test", sizes.get("val", 0))
        shape = _shape(splits)
        return Info(str(self.folder), len(self.names), self.names, shape, sizes, "pixel")

    def open(self, split: str, encoded: bool = False) -> "LabelMapSource":
        """The examples of a split by their names' order. Raises UsageError."""
        name = "val" if split == "test" and "test" not in self._splits else split
        if name not in self._splits:
            raise UsageError(
                f"split={split!r}: expected one of {', '.join(self._splits)} in {shown(self.folder)}"
            )
        rest = 1 if self.foreground else None
        pairs = tuple(self._splits[name])
        return LabelMapSource(pairs, self._values(pairs), encoded, rest, self._table)

    @property
    def _cityscapes(self) -> bool:
        """Whether the maps have the values of Cityscapes, of which 19 are classes."""
        return not self.foreground and "leftimg8bit" in self._folders

    def _check_changes(self) -> None:
        changes = {"classes": self.classes, "ignored": self.ignored, "first": self.first}
        for name, value in changes.items():
            if value:
                raise UsageError(
                    f"{name}={value}: expected none with {shown(self.folder)}, whose maps have the "
                    "values of Cityscapes; to choose them, rename leftImg8bit and gtFine to the "
                    "layout images/SPLIT and labels/SPLIT"
                )

    @functools.cached_property
    def _folders(self) -> Folders:
        return folders_in(self.folder)

    @functools.cached_property
    def _splits(self) -> dict[str, list[Pair]]:
        return find_pairs(self.folder)

    @functools.cached_property
    def _table(self) -> ColourTable | None:
        return find_table(self.folder)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the classes. Raises UsageError for too many, or not two with `foreground`."""
        return check_names(self._names(), self.foreground, shown(self.folder))

    def _names(self) -> tuple[str, ...]:
        if self.classes:
            return self.classes
        if self.foreground:
            return FOREGROUND
        if self._table is not None:
            return self._table.names
        path = self.folder / "classes.txt"
        if path.is_file():
            return tuple(line.strip() for line in read_listing(path))
        if self.first == 1 and (self.folder / ADE20K_LIST).is_file():
            return ade20k(self.folder / ADE20K_LIST)
        if "stuffthingmaps" in self._folders:
            return COCO_STUFF
        if "jpegimages" in self._folders:
            return VOC
        if self._cityscapes:
            return CITYSCAPES
        return tuple(str(number) for number in range(self._largest() + 1))

    def _values(self, pairs: Sequence[Pair]) -> Mapping[int, int]:
        """The class of each value of a map's pixels; with `foreground` all others are class 1."""
        if self._cityscapes and not any(
            path and path.name.endswith(TRAIN_IDS) for _, path in pairs
        ):
            return CITYSCAPES_IDS
        count = 1 if self.foreground else len(self.names)
        return known_values(count, self.first, self._ignored)

    @property
    def _ignored(self) -> tuple[int, ...]:
        return ignored_values(self.ignored, self.foreground)

    def _largest(self) -> int:
        """The largest class in the maps of the first split."""
        paths = [path for _, path in next(iter(self._splits.values())) if path is not None]
        if len(paths) > _MANY:
            logger.warning(
                "dataset=%r: all %d maps are read to count its classes; names in classes.txt or "
                "--classes save that", shown(self.folder), len(paths),
            )  # fmt: skip

        def largest(path: Path) -> int:
            try:
                labels = read_map(path, self._table)
            except (DecodeError, OSError):
                return 0  # whoever trains on it is told
            known = labels[~np.isin(labels, self._ignored)] - self.first
            return int(known.max(initial=0))

        with ThreadPoolExecutor(decoding_threads(0)) as threads:
            return max(threads.map(largest, paths), default=0)


@dataclasses.dataclass(frozen=True)
class LabelMapSource:
    """One split. An example is `image`, its file if `encoded`, and `map` int32 [H, W].

    `values` has the class of each value in a map's file, `rest` that of all others; None refuses
    a map that has others. `table` has the values of colours.
    """

    pairs: tuple[Pair, ...]
    values: Mapping[int, int]
    encoded: bool
    rest: int | None = None
    table: ColourTable | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def describe(self, index: int) -> str:
        """The path of the image, or that of the map where there is no image."""
        image, labels = self.pairs[index]
        return shown(image or labels)

    def __getitem__(self, index: int) -> Example:
        """Raises BrokenExampleError for an example without image or map, or with a damaged one."""
        image, _ = self._pair(index)
        try:
            file = read_file(image)
            pixels = file if self.encoded else images.decode(file)
        except (DecodeError, OSError) as error:
            raise BrokenExampleError(f"{shown(image)}: not a readable image ({error})") from error
        return {"image": pixels, "map": self.labels(index)}

    def labels(self, index: int) -> np.ndarray:
        """The map of an example alone, int32 [H, W]. Raises BrokenExampleError."""
        _, path = self._pair(index)
        try:
            return to_classes(read_map(path, self.table), self.values, self.rest, shown(path))
        except (DecodeError, OSError) as error:
            raise BrokenExampleError(f"{shown(path)}: not a readable map ({error})") from error

    def _pair(self, index: int) -> tuple[Path, Path]:
        image, labels = self.pairs[index]
        if image is None or labels is None:
            lacks = "an image" if image is None else "a map"
            raise BrokenExampleError(f"{self.describe(index)}: has no partner: expected {lacks}")
        return image, labels


def _shape(splits: Mapping[str, list[Pair]]) -> tuple[int | None, ...]:
    """(height, width, channels) by up to 64 headers a split; None where they differ."""
    headers = set()
    for pairs in splits.values():
        chosen = np.unique(np.linspace(0, len(pairs) - 1, 64).astype(int))
        for path in (pairs[i][0] for i in chosen.tolist()):
            if path is not None:
                try:
                    headers.add(images.header(read_file(path)))
                except (DecodeError, OSError):
                    continue  # whoever reads it is told
    if not headers:
        first = next(iter(splits.values()))[0]
        raise UsageError(f"{shown(first[0] or first[1])}: not one image looked at is readable")
    heights, widths, channels = (set(sizes) for sizes in zip(*headers, strict=True))
    only = [sizes.pop() if len(sizes) == 1 else None for sizes in (heights, widths)]
    return (*only, max(channels))
