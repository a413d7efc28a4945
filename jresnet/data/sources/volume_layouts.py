"""Layouts of folders with volumes and label maps, and the cases in them.

Known layouts:

- `SPLIT/images/NAME.nii.gz` and `SPLIT/labels/NAME.nii.gz`, or `images/SPLIT` and `labels/SPLIT`, or
  `images` and `labels` without a split, with the names and in any case as `map_layouts` has them; an
  image may be a folder of DICOM slices, and have its channels in files `NAME_0000.nii.gz`,
  `NAME_0001.nii.gz`;
- nnU-Net and Medical Decathlon: `imagesTr`, `labelsTr` and `dataset.json`, with `imagesTs` and
  `labelsTs` as the split "test", where there are both.
"""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.data.sources.files import is_folder, is_image, list_folder
from jresnet.data.sources.map_layouts import MAPS, PICTURES, SPLITS, Folders, folders_in
from jresnet.data.sources.volume_files import is_volume, stem
from jresnet.errors import UsageError
from jresnet.storage import read_json
from jresnet.text import shown

_CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclasses.dataclass(frozen=True)
class VolumeCase:
    """The files of one example: its channels in order, and its map; () or None where they lack."""

    images: tuple[Path, ...]
    labels: Path | None


@dataclasses.dataclass(frozen=True)
class Described:
    """The content of `dataset.json`: names of the classes and of channels, and the ignored label."""

    classes: tuple[str, ...]
    channels: tuple[str, ...]
    ignored: tuple[int, ...]


def find_cases(folder: Path) -> dict[str, list[VolumeCase]]:
    """The cases of each split that is there, by name. Raises UsageError for an unknown layout."""
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    splits = {}
    if (folder / "imagesTr").is_dir() and (folder / "labelsTr").is_dir():
        splits["train"] = _cases(folder / "imagesTr", folder / "labelsTr")
        if (folder / "imagesTs").is_dir() and (folder / "labelsTs").is_dir():
            splits["test"] = _cases(folder / "imagesTs", folder / "labelsTs")
    else:
        splits = _in_parts(folders_in(folder))
    if not splits.get("train"):
        raise UsageError(
            f"dataset={shown(folder)!r}: no volumes with label maps; expected images and "
            "labels, train/images and train/labels, or imagesTr and labelsTr, of .nii or .nii.gz files"
        )
    return splits


def _in_parts(folders: Folders) -> dict[str, list[VolumeCase]]:
    """The cases of folders that are not nnU-Net's; without a split all are "train"."""
    pairs = [(images, maps) for images in PICTURES for maps in MAPS]
    splits = {}
    for split, names in SPLITS.items():
        for name in names:
            places = [(f"{name}/{images}", f"{name}/{maps}") for images, maps in pairs]
            places += [(f"{images}/{name}", f"{maps}/{name}") for images, maps in pairs]
            for images, maps in places:
                if split not in splits and images in folders and maps in folders:
                    splits[split] = _cases(folders[images], folders[maps])
    whole = [
        (folders[images], folders[maps]) for images, maps in pairs if {images, maps} <= {*folders}
    ]
    return splits or ({"train": _cases(*whole[0])} if whole else {})


def described(folder: Path) -> Described | None:
    """The content of the set's `dataset.json`, if there is one. Raises UsageError for a faulty one."""
    path = folder / "dataset.json"
    if not path.is_file():
        return None
    record = read_json(path)
    try:
        numbers, ignored = _numbers(record["labels"])
        channels = record.get("channel_names") or record.get("modality") or {}
        names = tuple(str(channels[key]) for key in sorted(channels, key=int))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{shown(path)}: expected labels, each a name and one number ({error})"
        ) from error
    if sorted(numbers) != list(range(len(numbers))):
        raise UsageError(
            f"{shown(path)}: labels are {sorted(numbers)}: expected 0 to {len(numbers) - 1}"
        )
    return Described(tuple(numbers[i] for i in range(len(numbers))), names, ignored)


def _numbers(labels: Mapping[str, Any]) -> tuple[dict[int, str], tuple[int, ...]]:
    """Names by number: `{"0": "liver"}` as the Decathlon, or `{"liver": 0}` as nnU-Net has them."""
    if all(key.isdecimal() for key in labels):
        return {int(key): str(name) for key, name in labels.items()}, ()
    numbers = {int(number): name for name, number in labels.items() if name != "ignore"}
    return numbers, (int(labels["ignore"]),) if "ignore" in labels else ()


def _cases(images: Path, labels: Path) -> list[VolumeCase]:
    maps = {stem(entry.name): labels / entry.name for entry in _volumes(labels)}
    pictures: dict[str, list[Path]] = {}
    for entry in sorted(_volumes(images) + _folders(images), key=lambda entry: entry.name):
        name = entry.name if entry.is_dir() else stem(entry.name)
        name = name if name in maps else case_of(name)
        pictures.setdefault(name, []).append(images / entry.name)
    cases = [
        VolumeCase(tuple(pictures.get(name, ())), maps.get(name))
        for name in sorted(pictures.keys() | maps.keys())
    ]
    flat = [VolumeCase((path,), None) for path in _flat(images)]
    flat += [VolumeCase((), path) for path in _flat(labels)]
    return cases + flat if cases else []  # pictures alone are another kind of set


def _flat(folder: Path) -> list[Path]:
    """Pictures among volumes, sorted: each is an example that cannot be read."""
    entries = (e for e in list_folder(folder) if is_image(e.name) and not is_folder(e))
    return sorted(folder / entry.name for entry in entries)


def case_of(name: str) -> str:
    """The case that a file of one channel belongs to: its name without `_0000`, `_0001` and so on."""
    channel = _CHANNEL.fullmatch(name)
    return channel[1] if channel else name


def _volumes(folder: Path) -> list[Any]:
    return [e for e in list_folder(folder) if is_volume(e.name) and not is_folder(e)]


def _folders(folder: Path) -> list[Any]:
    return [entry for entry in list_folder(folder) if is_folder(entry)]
