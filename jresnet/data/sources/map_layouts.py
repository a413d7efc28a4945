"""Layouts of folders with images and label maps, and the pairs in them.

Known layouts, with SPLIT one of the names in `SPLITS`, and any image suffix:

- `SPLIT/images/NAME.jpg` and `SPLIT/labels/NAME.png`; `masks`, `annotations` and `maps` are other
  names for `labels`, and the singular of each too;
- `images/SPLIT/NAME.jpg` and `labels/SPLIT/NAME.png`, with the same names (ADE20K, COCO-Stuff, whose
  maps lie in `stuffthingmaps`);
- PASCAL VOC: `JPEGImages`, `SegmentationClass`, and the names of a split in
  `ImageSets/Segmentation/SPLIT.txt`, or `ImageSets/SegmentationAug`, where `default.txt` is the
  split of training too (CVAT); with `SegmentationClassAug` beside them `train_aug.txt` comes before
  `train.txt`, with those maps, and other splits keep the maps of `SegmentationClass`;
- the same without SPLIT, or with the split of training alone: a fifth of its pairs, drawn by their
  names, is the split "test" (`drawn`);
- Cityscapes: `leftImg8bit/SPLIT/CITY/NAME_leftImg8bit.png` and
  `gtFine/SPLIT/CITY/NAME_gtFine_labelIds.png`. Its maps of `test` are withheld: they are not read.
"""

from collections.abc import Mapping
from pathlib import Path

from jresnet.data.sources.drawn import draw_test, tell_drawn
from jresnet.data.sources.files import is_image, read_listing, walk
from jresnet.errors import UsageError
from jresnet.text import shown

AUGMENTED = ("train_aug", "trainaug")
SPLITS = {
    "train": (*AUGMENTED, "train", "training", "train2017"),
    "val": ("val", "validation", "valid", "val2017"),
    "test": ("test", "testing"),
}
PICTURES = ("images", "image", "imgs", "img")
MAPS = ("labels", "label", "masks", "mask", "annotations", "annotation", "maps", "map",
        "stuffthingmaps")  # fmt: skip
ENDINGS = ("_mask", "_masks", "_label", "_labels")  # of a map's name after its image's
VOC_LISTS = ("Segmentation", "SegmentationAug")
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
    if not splits and (pairs := _voc(folder, "default") or _undivided(folder)):
        splits["train"] = pairs
    if not splits:
        raise UsageError(
            f"dataset={shown(folder)!r}: no images with label maps; expected images and labels, "
            "train/images and train/labels, or the layout of VOC, Cityscapes, ADE20K or COCO-Stuff"
        )
    if splits.keys() == {"train"}:
        splits["train"], tested = draw_test(splits["train"], _name)
        tell_drawn(shown(folder), len(tested), len(tested) + len(splits["train"]))
        if tested:
            splits["test"] = tested
    return splits


def _name(pair: Pair) -> str:
    return next(path.stem for path in pair if path is not None)


def _plain(folder: Path, split: str) -> list[Pair]:
    for name in MAPS:
        for images in PICTURES:
            for pictures, maps in (
                (folder / split / images, folder / split / name),
                (folder / images / split, folder / name / split),
            ):
                if pictures.is_dir() and maps.is_dir():
                    return _paired(_by_stem(pictures), _by_stem(maps))
    return []


def _undivided(folder: Path) -> list[Pair]:
    """The pairs of a folder without splits."""
    names = [(images, name) for images in PICTURES for name in MAPS]
    for images, name in (*names, ("JPEGImages", "SegmentationClass")):
        if (folder / images).is_dir() and (folder / name).is_dir():
            return _paired(_by_stem(folder / images), _by_stem(folder / name))
    return []


def _voc(folder: Path, split: str) -> list[Pair]:
    lists = (folder / "ImageSets" / name / f"{split}.txt" for name in VOC_LISTS)
    listing = next((path for path in lists if path.is_file()), None)
    augmented = folder / "SegmentationClassAug"
    if listing is None or (split in AUGMENTED and not augmented.is_dir()):
        return []
    pictures = _by_stem(folder / "JPEGImages")
    labels = _by_stem(folder / "SegmentationClass")
    # The augmented maps are coarser: nothing is measured on them that has a map of VOC's own.
    more = _by_stem(augmented)
    labels = labels | more if split in SPLITS["train"] else more | labels
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
    maps = {_image_of(name, pictures): path for name, path in maps.items()}
    names = sorted(pictures.keys() | maps.keys())
    return [(pictures.get(name), maps.get(name)) for name in names]


def _image_of(name: str, pictures: Mapping[str, Path]) -> str:
    """The name of a map's image: the map's own, or that without an ending such as `_mask`."""
    if name not in pictures:
        for ending in ENDINGS:
            if name.endswith(ending) and name.removesuffix(ending) in pictures:
                return name.removesuffix(ending)
    return name
