"""Folders of faces, a folder a person, and the pairs by which strangers are told apart.

Whole people are held out for "test": a net is to tell apart people whom it has never seen.
"""

import dataclasses
import functools
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jresnet.data.info import Info
from jresnet.data.sources.files import (
    image_shape,
    is_folder,
    list_folder,
    walk,
)
from jresnet.data.sources.folder import FolderSource
from jresnet.data.sources.landmarks import LandmarkedSource, Landmarks, read_landmarks
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class People:
    """`root/<person>/<file>`; `held_out` names the people of "test", or how many, the last by name.

    With `whole` everyone is in that split, and the other one is empty. `landmarks` is a table of
    five points a picture (`landmarks.read_landmarks`), by which faces are aligned.

    People are numbered in the order of their names, those of "train" first. A person of a single
    picture is trained on, and told of: nothing of them can be compared in a test.
    """

    root: Path
    held_out: int | tuple[str, ...] = 10
    whole: Literal["train", "test"] | None = None
    landmarks: Path | None = None

    def info(self) -> Info:
        """Classes are the people of "train". Raises UsageError for faults of the folder."""
        train, test = self.people
        sizes = {
            name: sum(len(self._files[person]) for person in people)
            for name, people in (("train", train), ("test", test))
            if people
        }
        return Info(str(self.root), len(train), train, self._image_shape, sizes)

    def open(self, split: str, encoded: bool = False) -> "FolderSource":
        """The pictures of a split, person by person, in the order of their names."""
        train, test = self.people
        first = 0 if split == "train" else len(train)
        chosen = train if split == "train" else test
        files = [f"{name}/{file}" for name in chosen for file in self._files[name]]
        labels = [first + n for n, name in enumerate(chosen) for _ in self._files[name]]
        channels = self._image_shape[-1] or 3
        if self._landmarks is None:
            return FolderSource(self.root, files, labels, channels, encoded)
        return LandmarkedSource(self.root, files, labels, channels, encoded, self._landmarks)

    @functools.cached_property
    def _landmarks(self) -> Landmarks | None:
        return None if self.landmarks is None else read_landmarks(self.landmarks)

    @functools.cached_property
    def people(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of those to train on and of those held out. Raises UsageError."""
        names = tuple(self._files)
        if self.whole is not None:
            return (names, ()) if self.whole == "train" else ((), names)
        if isinstance(self.held_out, int):
            if not 0 < self.held_out < len(names):
                raise UsageError(
                    f"held_out={self.held_out}: expected 1 to {len(names) - 1} of the {len(names)} "
                    f"people of {shown(self.root)}"
                )
            return names[: -self.held_out], names[-self.held_out :]
        if strange := [name for name in self.held_out if name not in self._files]:
            raise UsageError(f"held_out={strange[0]}: expected a folder of {shown(self.root)}")
        test = tuple(name for name in names if name in self.held_out)
        train = tuple(name for name in names if name not in self.held_out)
        if not (train and test):
            raise UsageError(f"held_out={self.held_out}: expected people on both sides")
        return train, test

    @functools.cached_property
    def _files(self) -> dict[str, list[str]]:
        folders = sorted(entry.name for entry in list_folder(self.root) if is_folder(entry))
        files = {name: sorted(walk(self.root / name, [self.root])) for name in folders}
        files = {name: pictures for name, pictures in files.items() if pictures}
        if len(files) < 2:
            raise UsageError(
                f"dataset={shown(self.root)}: {len(files)} people; expected <person>/<file> of two"
            )
        folded: dict[str, str] = {}
        for name in files:
            if (other := folded.setdefault(name.casefold(), name)) != name:
                raise UsageError(
                    f"dataset={shown(self.root)}: folders {other!r} and {name!r} differ in case "
                    "alone; expected one folder a person"
                )
        if single := [name for name, pictures in files.items() if len(pictures) == 1]:
            logger.warning(
                "%d of %d people of %s have one picture, such as %r: no pair of theirs is the same person",
                len(single), len(files), self.root, single[0],
            )  # fmt: skip
        return files

    @functools.cached_property
    def _image_shape(self) -> tuple[int | None, ...]:
        train, test = self.people
        files = [f"{name}/{file}" for name in train or test for file in self._files[name]]
        return image_shape(FolderSource(self.root, files, [0] * len(files), 3, True))


def picture_numbers(files: Sequence[str]) -> dict[tuple[str, int], int]:
    """Positions by person and number: `s33/09.pgm` is ("s33", 9), `Ann_Lee/Ann_Lee_0001.jpg` ("Ann_Lee", 1)."""
    places: dict[tuple[str, int], int] = {}
    for position, file in enumerate(files):
        person, _, rest = file.partition("/")
        digits = re.search(r"(\d+)\.[^./]*$", rest)
        if digits and places.setdefault((person, int(digits[1])), position) != position:
            other = files[places[person, int(digits[1])]]
            raise UsageError(
                f"{shown(file)} and {shown(other)}: expected one picture {int(digits[1])} of {person}"
            )
    return places
