"""Layouts of folders with images and label maps, and the pairs in them.

Known layouts, with SPLIT one of the names in `SPLITS`, and any image suffix:

- `SPLIT/images/NAME.jpg` and `SPLIT/labels/NAME.png`; `masks`, `annotations` and `maps` are other
  names for `labels`;
- `images/SPLIT/NAME.jpg` and `labels/SPLIT/NAME.png`, with the same names (ADE20K, COCO-Stuff, whose
  maps lie in `stuffthingmaps`);
- PASCAL VOC: `JPEGImages`, `SegmentationClass`, and the names of a split in
  `ImageSets/Segmentation/SPLIT.txt`; with `SegmentationClassAug` beside them its maps come first,
  and `train_aug.txt` before `train.txt`;
- Cityscapes: `leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png` and
  `gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png`. Its maps of `test` are withheld: they are not read.
"""

from collections.abc import Mapping
from pathlib import Path

from jresnet.data.sources.files import is_image, read_listing, walk
from jresnet.errors import UsageError
from jresnet.text import shown

AUGMENTED = ("train_aug", "trainaug")
SPLITS = {
    "train": (*AUGMENTED, "train", "training", "train2017"),
    "val": ("val", "validation", "valid", "val2017"),
    "test": ("test", "testing"),
}
MAPS = ("labels", "masks", "annotations", "maps", "stuffthingmaps")
Pair = tuple[Path | None, Path | None]  # image and map; None where one of them is missing


def find_pairs(folder: Path) -> dict[str, list[Pair]]:
    """The pairs of each split that is there, by name. Raises UsageError for an unknown layout."""
    if not folder.is_dir():
        raise UsageError(f"dataset={shown(folder)!r}: no such folder")
    splits = {}
    for split, names in SPLITS.items():
        for name in names:
            pairs = _voc(folder, name) or _cityscapes(folder, name) or _plain(folder, name)
            if pairs:
                splits[split] = pairs
                break
    if not splits:
        raise UsageError(
            f"dataset={shown(folder)!r}: no images with label maps; expected train/images and "
            "train/labels, or the layout of VOC, Cityscapes, ADE20K or COCO-Stuff"
        )
    return splits


def _plain(folder: Path, split: str) -> list[Pair]:
    for name in MAPS:
        for pictures, maps in (
            (folder / split / "images", folder / split / name),
            (folder / "images" / split, folder / name / split),
        ):
            if pictures.is_dir() and maps.is_dir():
                return _paired(_by_stem(pictures), _by_stem(maps))
    return []


def _voc(folder: Path, split: str) -> list[Pair]:
    listing = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
    augmented = folder / "SegmentationClassAug"
    if not listing.is_file() or (split in AUGMENTED and not augmented.is_dir()):
        return []
    pictures = _by_stem(folder / "JPEGImages")
    labels = _by_stem(folder / "SegmentationClass") | _by_stem(augmented)
    # The augmented list of some people has paths of image and map on a line.
    names = [Path(line.split()[0]).stem for line in read_listing(listing) if line.strip()]
    pairs: list[Pair] = []
    for name in names:
        image = pictures.get(name, folder / "JPEGImages" / f"{name}.jpg")
        pairs.append((image, labels.get(name)))
    return pairs


def _cityscapes(folder: Path, split: str) -> list[Pair]:
    root, maps = folder / "leftImg8bit" / split, folder / "gtFine" / split
    if split in SPLITS["test"] or not root.is_dir():
        return []

    def by_name(top: Path, ending: str) -> dict[str, Path]:
        return (
            {name.removesuffix(ending): top / name for name in walk(top) if name.endswith(ending)}
            if top.is_dir()
            else {}
        )

    return _paired(by_name(root, "_leftImg8bit.png"), by_name(maps, "_gtFine_labelIds.png"))


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {name.rpartition(".")[0]: folder / name for name in walk(folder) if is_image(name)}


def _paired(pictures: Mapping[str, Path], maps: Mapping[str, Path]) -> list[Pair]:
    names = sorted(pictures.keys() | maps.keys())
    return [(pictures.get(name), maps.get(name)) for name in names]
