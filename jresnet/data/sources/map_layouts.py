"""Layouts of folders with images and label maps, and the pairs in them.

Known layouts, with SPLIT one of the names in `SPLITS`, any image suffix, and names of folders in
any case:

- `SPLIT/images/NAME.jpg` and `SPLIT/labels/NAME.png`; `MAPS` has other names for `labels`, such as
  `masks` and `annotations`, and `PICTURES` for `images`;
- `images/SPLIT/NAME.jpg` and `labels/SPLIT/NAME.png`, with the same names (ADE20K, COCO-Stuff, whose
  maps lie in `stuffthingmaps`);
- `SPLIT/NAME.png` or `SPLIT_images/NAME.png`, and `SPLIT_labels/NAME.png` or `SPLITannot/NAME.png`
  (CamVid as Kaggle and SegNet have it), with the same names;
- PASCAL VOC: `JPEGImages`, `SegmentationClass`, and the names of a split in
  `ImageSets/Segmentation/SPLIT.txt`, or `ImageSets/SegmentationAug`, where `default.txt` is the
  split of training too (CVAT); with `SegmentationClassAug` beside them `train_aug.txt` comes before
  `train.txt`, with those maps, and other splits keep the maps of `SegmentationClass`;
- `SPLIT/NAME.jpg` and `SPLIT/NAME_mask.png` in one folder;
- the same without SPLIT, or with the split of training alone: a fifth of its pairs, drawn by their
  names, is the split "test" (`drawn`);
- Cityscapes: `leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png` and
  `gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png`, or `..._labelTrainIds.png` where a split has these
  alone. Its maps of `test` are withheld: they are not read.

A map has the name of its image, or one with an ending more (`map_pairs.ENDINGS`).
"""

from collections.abc import Mapping
from pathlib import Path

from jresnet.data.sources.drawn import draw_test, tell_drawn
from jresnet.data.sources.files import is_folder, list_folder, read_listing, walk
from jresnet.data.sources.map_pairs import Pair, by_stem, paired, together
from jresnet.errors import UsageError
from jresnet.text import shown

AUGMENTED = ("train_aug", "trainaug")
SPLITS = {
    "train": (*AUGMENTED, "train", "training", "train2017"),
    "val": ("val", "validation", "valid", "val2017"),
    "test": ("test", "testing"),
}
PICTURES = ("images", "image", "imgs", "img", "jpegimages")
MAPS = ("labels", "label", "masks", "mask", "annotations", "annotation", "maps", "map",
        "stuffthingmaps", "annot", "annots", "segmentationclass", "segmentations", "gt")  # fmt: skip
VOC_LISTS = ("segmentation", "segmentationaug")
TRAIN_IDS = "_gtFine_labelTrainIds.png"  # of Cityscapes: maps that have the classes' numbers
Folders = Mapping[str, Path]  # by their paths in lower case


def find_pairs(folder: Path) -> dict[str, list[Pair]]:
    """The pairs of each split that is there, by name. Raises UsageError for an unknown layout."""
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    folders = folders_in(folder)
    splits = {}
    for find in (_of_split, _in_one_folder):
        for split, names in SPLITS.items():
            if split not in splits:
                pairs = next((pairs for name in names if (pairs := find(folders, name))), None)
                splits |= {split: pairs} if pairs else {}
    if not splits and (pairs := _voc(folders, "default") or _undivided(folder, folders)):
        splits["train"] = pairs
    if not splits:
        raise UsageError(
            f"dataset={shown(folder)!r}: no images with label maps; expected images and labels, "
            "train/images and train/labels, train and train_labels, files NAME_mask beside images, "
            "or the layout of VOC, Cityscapes, ADE20K or COCO-Stuff"
        )
    if splits.keys() == {"train"}:
        splits["train"], tested = draw_test(splits["train"], _name)
        tell_drawn(shown(folder), len(tested), len(tested) + len(splits["train"]))
        if tested:
            splits["test"] = tested
    return splits


def folders_in(folder: Path) -> Folders:
    """The folders in a folder and in those; of names that differ in case the one in lower case."""

    def inside(top: Path, above: str) -> dict[str, Path]:
        names = sorted(entry.name for entry in list_folder(top) if is_folder(entry))
        return {f"{above}{name.lower()}": top / name for name in names}

    tops = inside(folder, "")
    inner = [inside(path, f"{name}/") for name, path in tops.items()]
    return {name: path for each in (tops, *inner) for name, path in each.items()}


def _of_split(folders: Folders, split: str) -> list[Pair]:
    return _voc(folders, split) or _cityscapes(folders, split) or _plain(folders, split)


def _in_one_folder(folders: Folders, split: str) -> list[Pair]:
    return together(folders[split]) if split in folders else []


def _name(pair: Pair) -> str:
    return next(path.stem for path in pair if path is not None)


def _plain(folders: Folders, split: str) -> list[Pair]:
    for name in MAPS:
        beside = [f"{split}{gap}{name}" for gap in ("_", "-", "")]
        for images in PICTURES:
            for pictures, maps in (
                (f"{split}/{images}", f"{split}/{name}"),
                (f"{images}/{split}", f"{name}/{split}"),
                *((f"{split}_{images}", other) for other in beside),
            ):
                if pictures in folders and maps in folders:
                    return paired(by_stem(folders[pictures]), by_stem(folders[maps]))
        for maps in beside:
            if split in folders and maps in folders:
                return paired(by_stem(folders[split]), by_stem(folders[maps]))
    return []


def _undivided(folder: Path, folders: Folders) -> list[Pair]:
    """The pairs of a folder without splits."""
    for images in PICTURES:
        for name in MAPS:
            if images in folders and name in folders:
                return paired(by_stem(folders[images]), by_stem(folders[name]))
    places = [folders[images] for images in PICTURES if images in folders]
    return next((pairs for place in (folder, *places) if (pairs := together(place))), [])


def _voc(folders: Folders, split: str) -> list[Pair]:
    lists = (folders.get(f"imagesets/{name}") for name in VOC_LISTS)
    paths = (path / f"{split}.txt" for path in lists if path is not None)
    listing = next((path for path in paths if path.is_file()), None)
    if listing is None or (split in AUGMENTED and "segmentationclassaug" not in folders):
        return []
    names = ("jpegimages", "segmentationclass", "segmentationclassaug")
    pictures, labels, more = (by_stem(folders[name]) if name in folders else {} for name in names)
    # The augmented maps are coarser: nothing is measured on them that has a map of VOC's own.
    labels = labels | more if split in SPLITS["train"] else more | labels
    # The augmented list of some people has paths of image and map on a line.
    stems = [Path(line.split()[0]).stem for line in read_listing(listing) if line.strip()]
    missing = listing.parents[2] / "JPEGImages"
    return [(pictures.get(stem, missing / f"{stem}.jpg"), labels.get(stem)) for stem in stems]


def _cityscapes(folders: Folders, split: str) -> list[Pair]:
    root, maps = folders.get(f"leftimg8bit/{split}"), folders.get(f"gtfine/{split}")
    if split in SPLITS["test"] or root is None:
        return []

    def by_name(top: Path | None, ending: str) -> dict[str, Path]:
        names = walk(top) if top is not None else ()
        return {
            name.removesuffix(ending): Path(top or "", name)
            for name in names
            if name.endswith(ending)
        }

    labels = by_name(maps, "_gtFine_labelIds.png") or by_name(maps, TRAIN_IDS)
    return paired(by_name(root, "_leftImg8bit.png"), labels)
