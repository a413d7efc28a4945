"""Layouts of folders with images and boxes, and the splits in them.

Known layouts, with SPLIT one of the names in `SPLITS`, and any image suffix:

- COCO: `annotations/instances_SPLIT.json` or `person_keypoints_SPLIT.json`, or these in the folder
  itself, images in `SPLIT` or `images/SPLIT`; `SPLIT.json`, images in `SPLIT/images` or `SPLIT`;
  Roboflow's `SPLIT/_annotations.coco.json`, images beside it; without splits the one JSON file of
  COCO's format in the folder or in `annotations`, whatever its name, and images in any folder here;
- PASCAL VOC: `JPEGImages`, `Annotations`, and the names of a split in `ImageSets/Main/SPLIT.txt`;
  `SPLIT/images` and `SPLIT/annotations`; XML files and images in `SPLIT`; without splits
  `JPEGImages` or `images`, and `Annotations`, whatever their case;
- YOLO: `images/SPLIT` and `labels/SPLIT`, or `SPLIT/images` and `SPLIT/labels`, or the folders that
  `data.yaml` names, or without splits `images` and `labels`; the classes are those of `data.yaml` or
  `classes.txt`;
- a table: `SPLIT.csv`, `SPLIT/_annotations.csv`, or `annotations.csv` with a column `split`; images
  in `SPLIT/images`, `SPLIT`, `images/SPLIT`, `images` or the folder itself.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jresnet.data.sources import coco_boxes, csv_boxes, voc_boxes, yolo_boxes
from jresnet.data.sources.box_table import Rows
from jresnet.data.sources.files import is_folder, is_hidden, list_folder
from jresnet.errors import UsageError
from jresnet.text import shown

SPLITS = {
    "train": ("train", "training", "train2017", "train2014"),
    "val": ("val", "valid", "validation", "val2017", "val2014"),
    "test": ("test", "testing"),
    "trainval": ("trainval",),
}
KINDS = ("instances", "person_keypoints")
EXPECTED = (
    "annotations/instances_train2017.json, train.json or train/_annotations.coco.json (COCO); "
    "JPEGImages, Annotations and ImageSets/Main/train.txt, or train/images and train/annotations "
    "(VOC); images/train and labels/train with data.yaml or classes.txt (YOLO); train.csv, or "
    "annotations.csv with a column split; COCO, VOC and YOLO without train too"
)
TABLES = ("annotations.csv", "labels.csv", "boxes.csv")


@dataclasses.dataclass(frozen=True)
class Options:
    """How the files of a set are read; fields as those of `boxes.Boxes`."""

    kind: str = ""
    difficult_is_crowd: bool = True
    masks: bool = True
    keypoints: bool = True


@dataclasses.dataclass(frozen=True)
class Layout:
    """The splits of a folder.

    - splits: what reads each split that is there, by its name.
    - ordered: the classes of the set, from the rows of its splits.
    """

    splits: Mapping[str, Callable[[], Rows]]
    ordered: Callable[[Sequence[Rows]], tuple[str, ...]]


def find_layout(folder: Path, options: Options) -> Layout:
    """The layout of a folder. Raises UsageError for an unknown one."""
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    for find, ordered in FINDERS:
        splits = {}
        for split, names in SPLITS.items():
            reads = (find(folder, name, options) for name in names)
            if read := next((read for read in reads if read), None):
                splits[split] = read
        if splits:
            return Layout(splits, ordered)
    for find, ordered in UNDIVIDED:
        if read := find(folder, options):
            return Layout({"train": read}, ordered)
    raise UsageError(f"dataset={shown(folder)!r}: no images with boxes; expected {EXPECTED}")


Read = Callable[[], Rows] | None


def _kinds(options: Options) -> tuple[str, ...]:
    """The first parts of the names of COCO's files, the ones to read first at the front."""
    if options.kind:
        return (options.kind,)
    wanted = options.keypoints and not options.masks
    return KINDS[::-1] if wanted else KINDS


def _coco(folder: Path, split: str, options: Options) -> Read:
    kinds = _kinds(options)
    notes = folder / "annotations"
    for path in (
        *(place / f"{kind}_{split}.json" for place in (notes, folder) for kind in kinds),
        notes / f"{split}.json",
        folder / f"{split}.json",
        folder / split / "_annotations.coco.json",
    ):
        if path.is_file():
            inner = folder / split / "images", folder / split
            beside = folder / "images" / split, folder / "images", folder
            pictures = inner[::-1] if path.parent.name == split else (*inner, *beside)
            return functools.partial(
                coco_boxes.read, path, pictures, options.masks, options.keypoints
            )
    return None


def _voc(folder: Path, split: str, options: Options) -> Read:
    pairs = voc_boxes.listed(folder, split)
    if pairs is None:
        pictures, notes = folder / split / "images", folder / split / "annotations"
        if not pictures.is_dir():
            pictures = notes = folder / split
        if not any(notes.glob("*.xml")):
            return None
        pairs = voc_boxes.paired(pictures, notes)
    return functools.partial(voc_boxes.read, folder, pairs, options.difficult_is_crowd)


def _yolo(folder: Path, split: str, options: Options) -> Read:
    del options
    about = yolo_boxes.described(folder)
    places = [about.pictures[split]] if about and split in about.pictures else []
    for pictures in (*places, folder / "images" / split, folder / split / "images"):
        labels = yolo_boxes.labels_of(pictures)
        if pictures.is_dir() and labels.is_dir() and any(labels.rglob("*.txt")):
            return functools.partial(
                yolo_boxes.read, pictures, labels, about or yolo_boxes.Described()
            )
    return None


def _undivided_coco(folder: Path, options: Options) -> Read:
    """The one file of COCO's format, as CVAT, Label Studio and Roboflow export it."""
    paths = [path for place in (folder / "annotations", folder) for path in place.glob("*.json")]
    paths = sorted(path for path in paths if not is_hidden(path.name))
    if len(paths) > 1:
        paths = [path for path in paths if coco_boxes.is_coco(path)]
    for kind in _kinds(options):
        chosen = [path for path in paths if path.name.startswith(f"{kind}_")]
        paths = chosen if len(chosen) == 1 else paths
    if len(paths) > 1:
        names = " and ".join(shown(path.relative_to(folder)) for path in paths[:2])
        raise UsageError(
            f"dataset={shown(folder)!r}: {len(paths)} files of COCO's format, such as {names}: "
            "expected one, or names with a split such as instances_train.json, instances_val.json"
        )
    if not paths:
        return None
    images = folder / "images"
    inside = sorted(folder / entry.name for entry in list_folder(folder) if is_folder(entry))
    pictures = (images / "default", images, folder, paths[0].parent, *inside)
    return functools.partial(coco_boxes.read, paths[0], pictures, options.masks, options.keypoints)


def _undivided_voc(folder: Path, options: Options) -> Read:
    for images in ("jpegimages", "images"):
        pairs = itertools.product(_alike(folder, images), _alike(folder, "annotations"))
        for pictures, notes in pairs:
            if any(notes.glob("*.xml")):
                files = voc_boxes.paired(pictures, notes)
                return functools.partial(voc_boxes.read, folder, files, options.difficult_is_crowd)
    return None


def _alike(folder: Path, name: str) -> list[Path]:
    """The folders in it of a name in lower case, or of the same in other cases."""
    names = sorted((one.name for one in list_folder(folder) if is_folder(one)), reverse=True)
    return [folder / one for one in names if one.lower() == name]


def _undivided_yolo(folder: Path, options: Options) -> Read:
    del options
    pictures, labels = folder / "images", folder / "labels"
    if not pictures.is_dir() or not any(labels.rglob("*.txt")):
        return None
    about = yolo_boxes.described(folder) or yolo_boxes.Described()
    return functools.partial(yolo_boxes.read, pictures, labels, about)


def _csv(folder: Path, split: str, options: Options) -> Read:
    del options
    pictures = (
        *(folder / split / "images", folder / split, folder / "images" / split),
        *(folder / "images", folder),
    )
    for path in (folder / f"{split}.csv", folder / split / "_annotations.csv"):
        if path.is_file():
            return functools.partial(csv_boxes.read, path, pictures)
    path = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if path is None:
        return None
    if split not in csv_boxes.splits_of(path, path.stat().st_mtime_ns):
        return None
    return functools.partial(csv_boxes.read, path, pictures, (split,))


def _as_first(rows: Sequence[Rows]) -> tuple[str, ...]:
    """The classes of the first split in its order."""
    return tuple(rows[0].classes)


def _sorted(rows: Sequence[Rows]) -> tuple[str, ...]:
    """The classes of all splits, sorted; those of VOC so are in their usual order."""
    return tuple(sorted({name for one in rows for name in one.classes}))


def _numbered(rows: Sequence[Rows]) -> tuple[str, ...]:
    """The classes of YOLO's file; without one their numbers up to the largest."""
    if rows[0].listed:
        return rows[0].listed
    numbers = [int(name) for one in rows for name in one.classes]
    return tuple(map(str, range(max(numbers, default=-1) + 1)))


FINDERS = ((_coco, _as_first), (_voc, _sorted), (_yolo, _numbered), (_csv, _sorted))
UNDIVIDED = (
    (_undivided_voc, _sorted),
    (_undivided_yolo, _numbered),
    (_undivided_coco, _as_first),
)
