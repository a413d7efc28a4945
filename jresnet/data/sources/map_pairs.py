"""Images and their label maps by the names of the files."""

from collections.abc import Mapping
from pathlib import Path

from jresnet.data.sources.files import is_folder, is_image, list_folder, walk
from jresnet.errors import UsageError
from jresnet.text import shown

Pair = tuple[Path | None, Path | None]  # image and map; None where one of them is missing
# Endings of a map's name after that of its image, in any case: CamVid has `_L`.
ENDINGS = (
    "_mask", "_masks", "_label", "_labels", "_l", "_seg", "_segmentation", "_gt", "_gtfine",
    "_gtfine_labelids", "_gtfine_labeltrainids", "_annotation",
)  # fmt: skip
# Endings of an image's name where that of its map has one too: `1_sat.jpg` and `1_mask.png`.
IMAGE_ENDINGS = ("", "_leftImg8bit", "_sat", "_image", "_img")


def by_stem(folder: Path) -> dict[str, Path]:
    """The image files below a folder by their paths in it without suffix; {} if it is not there."""
    if not folder.is_dir():
        return {}
    return {name.rpartition(".")[0]: folder / name for name in walk(folder) if is_image(name)}


def paired(pictures: Mapping[str, Path], maps: Mapping[str, Path]) -> list[Pair]:
    """The pairs of two lists of files by their names, and what has no partner, sorted.

    Raises UsageError for two maps of one image.
    """
    named: dict[str, Path] = {}
    for name, path in sorted(maps.items()):
        other = named.setdefault(_image_of(name, pictures), path)
        if other is not path:
            raise UsageError(
                f"{shown(other)} and {shown(path)} are maps of one image: expected one"
            )
    names = sorted(pictures.keys() | named.keys())
    return [(pictures.get(name), named.get(name)) for name in names]


def together(folder: Path) -> list[Pair]:
    """The pairs of one folder that holds both, such as `1.jpg` and `1_mask.png`; [] for another."""
    if not folder.is_dir():
        return []
    names = [e.name for e in list_folder(folder) if is_image(e.name) and not is_folder(e)]
    files = {name.rpartition(".")[0]: folder / name for name in names}
    endings = {
        ending
        for name in files
        for ending in ENDINGS
        if name.lower().endswith(ending) and _partner(name[: -len(ending)], files)
    }
    maps = {name: path for name, path in files.items() if name.lower().endswith(tuple(endings))}
    pictures = {name: path for name, path in files.items() if name not in maps}
    return paired(pictures, maps) if endings else []


def _image_of(name: str, pictures: Mapping[str, Path]) -> str:
    """The name of a map's image: the map's own, or that without an ending such as `_mask`."""
    if name in pictures:
        return name
    for ending in ENDINGS:
        if name.lower().endswith(ending) and (image := _partner(name[: -len(ending)], pictures)):
            return image
    return _partner(name, pictures) or name


def _partner(stem: str, pictures: Mapping[str, Path]) -> str | None:
    return next((stem + ending for ending in IMAGE_ENDINGS if stem + ending in pictures), None)
