"""Videos with a class each, in folders as people have them; `clip_layouts` has the layouts."""

import dataclasses
import functools
import itertools
import logging
from pathlib import Path

import numpy as np

from jresnet.data.clips import places
from jresnet.data.films import is_film
from jresnet.data.info import Example, Info
from jresnet.data.sources.clip_layouts import Listed, find_films
from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.text import shown

logger = logging.getLogger(__name__)
_TOLD = 5  # absent videos of a split that are logged one by one


@dataclasses.dataclass(frozen=True)
class Films:
    """A folder of videos in one of the layouts of `clip_layouts`.

    - `folder`: the folder of the set.
    - `number`: which of the three splits of UCF-101 and HMDB-51.
    - `views`: clips of each video of "test", evenly from its start to its end. They are examples of
      their own, one after the other.
    - `crops`: parts of each of these clips, evenly from one end of the longer side to the other:
      10 views and 3 crops are the "30 views" of papers.
    """

    folder: Path
    number: int = 1
    views: int = 1
    crops: int = 1

    def info(self) -> Info:
        """Raises UsageError for an unknown layout, or files of video without PyAV."""
        sizes = {
            split: len(listed.cases) * (self.views * self.crops if split == "test" else 1)
            for split, listed in self._splits.items()
        }
        shape = (None, None, None, 3)
        return Info(str(self.folder), len(self.names), self.names, shape, sizes, "clip")

    def open(self, split: str, encoded: bool = False) -> "FilmSource":
        """The clips of "train" or "test"; absent videos are logged. Raises UsageError."""
        del encoded
        if split not in self._splits:
            raise UsageError(f"split={split!r}: expected one of {', '.join(self._splits)}")
        numbers = {name: number for number, name in enumerate(self.names)}
        cases = self._splits[split].cases
        absent = tuple(case.path for case in self._splits[split].absent)
        self._tell(split)
        labels = np.array([numbers[case.label] for case in cases], np.int32)
        where = ((0.5, 0.5),)
        if split == "test":
            where = tuple(itertools.product(places(self.views), places(self.crops)))
        return FilmSource(tuple(case.path for case in cases), labels, where, absent)

    def _tell(self, split: str) -> None:
        absent, total = self._splits[split].absent, len(self._splits[split].cases)
        if not absent or split in self._told:
            return
        self._told.add(split)
        for case in absent[:_TOLD]:
            logger.warning("%s: in the list, not in the folder", shown(case.path))
        logger.warning(
            "%s: %d of %d listed videos of %r are absent and left out",
            shown(self.folder),
            len(absent),
            len(absent) + total,
            split,
        )

    @functools.cached_property
    def _told(self) -> set[str]:
        """The splits whose absent videos were logged."""
        return set()

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The classes, sorted by name, those of absent videos too: numbers stay as the lists have them."""
        splits = self._splits.values()
        return tuple(sorted({case.label for one in splits for case in one.cases + one.absent}))

    @functools.cached_property
    def _splits(self) -> dict[str, Listed]:
        splits = find_films(self.folder, self.number)
        labels = {split: {case.label for case in listed.cases} for split, listed in splits.items()}
        unseen = labels.get("test", set()) - labels.get("train", set())
        if unseen and labels.get("train"):
            raise UsageError(
                f"dataset={shown(self.folder)!r}: class {shown(min(unseen))!r} of test has no video "
                "to train on"
            )
        if any(is_film(case.path) for listed in splits.values() for case in listed.cases):
            library("av", "video")  # now, and not once for each video
        return splits


@dataclasses.dataclass(frozen=True)
class FilmSource:
    """One split. An example is `path`, `label`, `video` (its number), `place` (`read_clip`) and
    `across`, where along the longer side its part lies.

    - `places`: the two last of each clip of a video.
    - `absent`: videos that the list names and that are not there.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    places: tuple[tuple[float, float], ...]
    absent: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.paths) * len(self.places)

    def faults(self) -> tuple[str, ...]:
        """A line about each absent video."""
        return tuple(f"{shown(path)}: in the list, not in the folder" for path in self.absent)

    def describe(self, index: int) -> str:
        """The path of the video."""
        return shown(self.paths[index // len(self.places)])

    def __getitem__(self, index: int) -> Example:
        video, view = divmod(index, len(self.places))
        return {
            "path": str(self.paths[video]),
            "label": int(self.labels[video]),
            "video": video,
            "place": self.places[view][0],
            "across": self.places[view][1],
        }
