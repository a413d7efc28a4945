"""Examples of images with boxes, masks and keypoints, from a table and the images' files."""

import dataclasses
import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from jresnet.data import images, runs
from jresnet.data.broken import BrokenExampleError, ExampleError
from jresnet.data.cores import decoding_threads
from jresnet.data.decoders import DecodeError
from jresnet.data.info import Example
from jresnet.data.sources.box_table import BoxTable
from jresnet.data.sources.files import read_file
from jresnet.text import shown


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
        try:
            return {"image": pixels, **self.objects(index, size)}
        except ExampleError as error:
            raise BrokenExampleError(f"{self.describe(index)}: {error}") from error

    def objects(self, index: int, size: tuple[int, int]) -> Example:
        """An example without its image, which is of this (height, width). Raises ExampleError."""
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
        """The largest number of objects of an image, of run lengths of a mask (a close bound where
        masks are polygons), and of keypoints."""
        table, counts = self.table, np.diff(self.table.starts)
        points = 0 if table.keypoints is None else table.keypoints.shape[1]
        lengths = 0
        if table.masks is not None:
            lengths = table.masks.longest(np.repeat(self.sizes()[:, 1], counts))
        return int(counts.max(initial=0)), lengths, points

    @functools.cached_property
    def _sizes(self) -> np.ndarray:
        unknown = np.flatnonzero(~self.table.sizes.all(1)).tolist()
        sizes = self.table.sizes.astype(np.int64)
        sizes[unknown] = measure([self.table.root / self.table.names[index] for index in unknown])
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


def measure(paths: Sequence[Path]) -> np.ndarray:
    """Height and width of images by their headers, int64 [n, 2]; 0 for those that are broken."""

    def size(path: Path) -> tuple[int, int]:
        try:
            return images.header(read_file(path))[:2]
        except (DecodeError, OSError):
            return 0, 0

    with ThreadPoolExecutor(decoding_threads(0)) as threads:
        return np.array(list(threads.map(size, paths)), np.int64).reshape(-1, 2)
