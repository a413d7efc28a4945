"""Landmarks of faces: a table that lies beside the pictures, and examples that have them.

A line is a picture's name and the x and y of five points in pixels, eyes, nose and corners of the
mouth, the viewer's left first. Commas or spaces part the numbers. One or two lines of headings may
come first. So CelebA's `list_landmarks_align_celeba.txt` and VGGFace2's `loose_landmark_train.csv`
are read as they are.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from jresnet.data.alignment import TEMPLATE, landmarks_of
from jresnet.data.info import Example
from jresnet.data.sources.files import read_listing
from jresnet.data.sources.folder import FolderSource
from jresnet.errors import UsageError
from jresnet.text import shown

_HEADINGS = 2  # lines at the top that may hold no numbers
NUMBERS = 2 * len(TEMPLATE)


@dataclasses.dataclass(frozen=True)
class Landmarks:
    """`[5, 2]`, (x, y) of each point, by the names of pictures without their endings."""

    points: Mapping[str, np.ndarray]

    def find(self, name: str) -> np.ndarray | None:
        """The points of `person/picture.png`; a table of bare file names has them by these."""
        path = PurePosixPath(name).with_suffix("")
        known = self.points.get(path.as_posix())
        return self.points.get(path.name) if known is None else known


def read_landmarks(table: Path) -> Landmarks:
    """Raises UsageError for a line that is no name and ten numbers, and for a picture named twice."""
    points: dict[str, np.ndarray] = {}
    for number, line in enumerate(read_listing(table), 1):
        words = line.split(",") if "," in line else line.split()
        if not words:
            continue
        values = _numbers(words[1:])
        if values is None:
            if number <= _HEADINGS and not points:
                continue
            raise UsageError(
                f"{shown(table)} line {number}: {shown(line, 80)!r}: expected a picture's name and "
                f"{NUMBERS} numbers"
            )
        name = PurePosixPath(words[0].strip().strip('"')).with_suffix("").as_posix()
        if name in points:
            raise UsageError(
                f"{shown(table)} line {number}: {shown(words[0])!r}: expected one line a picture"
            )
        points[name] = values
    if not points:
        raise UsageError(
            f"{shown(table)}: expected lines of a picture's name and {NUMBERS} numbers"
        )
    return Landmarks(points)


def _numbers(words: list[str]) -> np.ndarray | None:
    """`[5, 2]`; None if these are not as many finite numbers."""
    with contextlib.suppress(ValueError):
        points = landmarks_of([float(word) for word in words])
        return points if np.isfinite(points).all() else None
    return None


@dataclasses.dataclass(frozen=True)
class LandmarkedSource(FolderSource):
    """Pictures of a folder, whose examples have `landmarks` where the table names them."""

    landmarks: Landmarks

    def __getitem__(self, index: int) -> Example:
        points = self.landmarks.find(self.files[index])
        return super().__getitem__(index) | ({} if points is None else {"landmarks": points})

    @property
    def without(self) -> int:
        """How many pictures the table does not name."""
        return sum(self.landmarks.find(file) is None for file in self.files)
