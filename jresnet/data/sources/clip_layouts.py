"""Layouts of folders of videos with a class each.

Known layouts:

- class folders: `SPLIT/CLASS/VIDEO`, a video being a file or a folder of pictures;
- UCF-101: `CLASS/VIDEO` with `classInd.txt`, `trainlist0N.txt` and `testlist0N.txt`, beside the
  classes or in `ucfTrainTestlist`;
- HMDB-51: `CLASS/VIDEO` with `CLASS_test_splitN.txt`, beside the classes or in
  `testTrainMulti_7030_splits`; 1 is for training, 2 for testing, 0 for neither;
- Kinetics: `train.csv` and one of `val.csv`, `validate.csv`, `validation.csv`, `valid.csv` and
  `test.csv` (`label,youtube_id,time_start,time_end`), the videos in `train` and in the folder of
  the other list's name, maybe by class, named `ID_START_END.mp4`. The first list that serves is
  taken: `test.csv` was published without labels too, and often without videos.

Videos that a list names and that are not there are in none of the splits: they were taken down, or
are still packed. `Listed.absent` has them.
"""

import csv
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from jresnet.data.films import is_film
from jresnet.data.sources.files import (
    SPLIT_NAMES,
    is_below,
    is_hidden,
    is_image,
    list_folder,
    read_listing,
)
from jresnet.errors import UsageError
from jresnet.text import shown

logger = logging.getLogger(__name__)
_VALIDATION = ("val", "validate", "validation", "valid")  # the same list by other names
# Names of the lists of a split in the order in which they are tried, and where their videos may be.
_KINETICS = {
    "train": {"train": ("train",)},
    "test": {**dict.fromkeys(_VALIDATION, _VALIDATION), "test": ("test",)},
}


@dataclasses.dataclass(frozen=True)
class FilmCase:
    """A video and the name of its class."""

    path: Path
    label: str


@dataclasses.dataclass(frozen=True)
class Listed:
    """The videos of a split that are there, and those that only its list names."""

    cases: tuple[FilmCase, ...]
    absent: tuple[FilmCase, ...] = ()


def find_films(folder: Path, number: int = 1) -> dict[str, Listed]:
    """The videos of "train" and "test", by name; `number` is that of UCF's and HMDB's split.

    Raises UsageError for an unknown layout, for a list that names a video outside the folder, and
    for one of whose videos none is there.
    """
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    for read in (_ucf, _hmdb, _kinetics, _class_folders):
        splits = read(folder, number)
        if splits.get("train") or splits.get("test"):
            return {split: _there(cases, folder) for split, cases in splits.items()}
    raise UsageError(
        f"dataset={shown(folder)!r}: expected videos as train/CLASS/VIDEO, or those of UCF-101, "
        "HMDB-51 or Kinetics with their lists"
    )


def _there(cases: list[FilmCase], folder: Path) -> Listed:
    """The videos parted by whether they exist; a folder is read once for all in it."""
    parents = {case.path.parent for case in cases}
    entries = {
        parent / entry.name
        for parent in parents
        if parent.is_dir()
        for entry in list_folder(parent)
    }
    absent = tuple(case for case in cases if case.path not in entries)
    if cases and len(absent) == len(cases):
        raise UsageError(
            f"dataset={shown(folder)!r}: none of {len(cases)} listed videos is there, the first "
            f"would be {shown(absent[0].path)}"
        )
    return Listed(tuple(case for case in cases if case.path in entries), absent)


def _class_folders(folder: Path, number: int) -> dict[str, list[FilmCase]]:
    del number
    splits: dict[str, list[FilmCase]] = {}
    for split, names in SPLIT_NAMES.items():
        for name in names:
            if split not in splits and (cases := list(_by_class(folder / name))):
                splits[split] = cases
    return splits


def _by_class(folder: Path) -> Iterator[FilmCase]:
    if not folder.is_dir():
        return
    for label in sorted(entry.name for entry in list_folder(folder) if entry.is_dir()):
        for entry in sorted(list_folder(folder / label), key=lambda entry: entry.name):
            path = Path(entry.path)
            if is_film(path) or (entry.is_dir() and _has_pictures(path)):
                yield FilmCase(path, label)


def _has_pictures(folder: Path) -> bool:
    """Whether it may be a video as pictures; an empty folder is one, so that it is told."""
    entries = [entry for entry in list_folder(folder) if not is_hidden(entry.name)]
    return not entries or any(is_image(entry.name) for entry in entries)


def _ucf(folder: Path, number: int) -> dict[str, list[FilmCase]]:
    splits: dict[str, list[FilmCase]] = {}
    for split in ("train", "test"):
        name = f"{split}list{number:02}.txt"
        for path in (folder / name, folder / "ucfTrainTestlist" / name):
            if path.is_file():
                lines = [line.split() for line in read_listing(path) if line.strip()]
                splits[split] = [_listed(folder, path, words[0]) for words in lines]
                break
    return splits


def _listed(folder: Path, listing: Path, name: str) -> FilmCase:
    if not is_below(name) or "/" not in name:
        raise UsageError(f"{shown(listing)}: {shown(name)!r}: expected CLASS/VIDEO")
    return FilmCase(folder / name, name.split("/")[0])


def _hmdb(folder: Path, number: int) -> dict[str, list[FilmCase]]:
    ending = f"_test_split{number}.txt"
    for place in (folder, folder / "testTrainMulti_7030_splits"):
        lists = sorted(place.glob(f"*{ending}")) if place.is_dir() else []
        if not lists:
            continue
        splits: dict[str, list[FilmCase]] = {"train": [], "test": []}
        for listing in lists:
            label = listing.name.removesuffix(ending)
            for words in (line.split() for line in read_listing(listing) if line.strip()):
                if len(words) != 2 or words[1] not in "012" or not is_below(words[0]):
                    raise UsageError(
                        f"{shown(listing)}: {shown(' '.join(words))!r}: expected VIDEO and 0, 1 or 2"
                    )
                if words[1] != "0":
                    split = "train" if words[1] == "1" else "test"
                    splits[split].append(FilmCase(folder / label / words[0], label))
        return splits
    return {}


def _kinetics(folder: Path, number: int) -> dict[str, list[FilmCase]]:
    del number
    splits: dict[str, list[FilmCase]] = {}
    for split, lists in _KINETICS.items():
        faults: list[UsageError] = []
        for name, places in lists.items():
            listing = folder / f"{name}.csv"
            if split in splits or not listing.is_file():
                continue
            try:
                splits[split] = _kinetics_list(folder, listing, (name, *places))
            except UsageError as error:
                faults.append(error)
                continue
            for fault in faults:
                logger.warning("%s; %s is taken instead", fault, listing.name)
        if faults and split not in splits:
            raise faults[0]
    return splits


def _kinetics_list(folder: Path, listing: Path, places: tuple[str, ...]) -> list[FilmCase]:
    """The videos of a list, as they lie in the folders `places`.

    Raises UsageError for a list without labels, and for one of whose videos none is there.
    """
    there: dict[str, Path] = {}
    for place in dict.fromkeys(places):
        for path in sorted((folder / place).rglob("*")):
            if is_film(path):
                there.setdefault(path.stem, path)
    try:
        rows = list(csv.DictReader(read_listing(listing)))
        named = [(_kinetics_name(row), row["label"]) for row in rows]
        if not all(label for _, label in named):
            raise ValueError("a row without a label")
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{shown(listing)}: expected columns label, youtube_id, time_start, time_end"
        ) from error
    if not any(stem in there for stem, _ in named):
        raise UsageError(
            f"{shown(listing)}: none of {len(named)} listed videos is there; expected them in "
            f"{' or '.join(f'{place}/' for place in dict.fromkeys(places))}"
        )
    absent = folder / places[0]
    return [FilmCase(there.get(stem, absent / f"{stem}.mp4"), label) for stem, label in named]


def _kinetics_name(row: dict[str, str]) -> str:
    start, end = int(float(row["time_start"])), int(float(row["time_end"]))
    return f"{row['youtube_id']}_{start:06}_{end:06}"
