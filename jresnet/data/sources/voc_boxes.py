"""Boxes in the XML files of PASCAL VOC, an image each."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from jresnet.data.sources.box_table import Rows, known_size
from jresnet.data.sources.files import is_image, read_listing, walk
from jresnet.text import shown

Pair = tuple[str, Path | None, Path | None]  # name, image and annotation; None where there is none
CORNERS = ("xmin", "ymin", "xmax", "ymax")
_MAX_BYTES = 64 << 20


def listed(folder: Path, split: str) -> list[Pair] | None:
    """The images in `ImageSets/Main/SPLIT.txt`; None if there is no such list."""
    listing = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not listing.is_file():
        return None
    pictures, notes = folder / "JPEGImages", folder / "Annotations"
    files = _by_stem(pictures)
    names = []
    for line in read_listing(listing):
        name = line.strip()
        if name:  # a list of a class has 1 or -1 after each name
            names.append(name if name in files else name.split()[0])
    return [
        (name, files.get(name), path if (path := notes / f"{name}.xml").is_file() else None)
        for name in names
    ]


def paired(pictures: Path, notes: Path) -> list[Pair]:
    """The images of one folder and the XML files of another, or of the same, by their names."""
    files, texts = _by_stem(pictures), _by_stem(notes, ".xml")
    alone = texts.keys() - files.keys()
    names = sorted([*map(_stem, _images(pictures)), *alone])  # a name of two images comes twice
    return [(name, files.get(name), texts.get(name)) for name in names]


def read(folder: Path, pairs: Sequence[Pair], difficult_is_crowd: bool) -> Rows:
    """The objects of one split. An image without an XML file is left out: nobody has looked at it."""
    rows = Rows(folder, "object", one_based=True)
    seen = set()
    for name, image, text in pairs:
        if name in seen:
            rows.fault((str(folder), name), "is there twice: left out once", "image")
            continue
        seen.add(name)
        if image is None:
            lost = text or folder / f"{name}.xml"
            rows.image(name, problem=f"{shown(lost)}: has no partner: expected an image")
        elif text is None:
            rows.fault((str(folder), image.name), "has no XML file: left out", "image")
        else:
            _read_one(rows, str(image.relative_to(folder)), text, difficult_is_crowd)
    return rows


def _read_one(rows: Rows, image: str, path: Path, difficult_is_crowd: bool) -> None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"expected at most {_MAX_BYTES:,} bytes")
        root = ET.fromstring(path.read_bytes())
    except (ET.ParseError, ValueError, LookupError, OSError) as error:
        rows.image(image, problem=f"{shown(path)}: not a readable XML file ({shown(error, 200)})")
        return
    size = (root.findtext(f"size/{side}") for side in ("height", "width"))
    position = rows.image(image, known_size(*size))
    for number, one in enumerate(root.findall("object"), 1):
        title = str(path), number
        name = (one.findtext("name") or "").strip()
        difficult = (one.findtext("difficult") or "0").strip() not in ("", "0")
        corners = [one.findtext(f"bndbox/{corner}") for corner in CORNERS]
        if not name:
            rows.fault(title, "has no name: expected that of its class")
            continue
        try:
            box = [float(corner or "") for corner in corners]
        except ValueError:
            shape = " ".join(map(str, corners))
            rows.fault(title, f"its box is {shape}: expected xmin ymin xmax ymax")
            continue
        rows.add(position, name, box, title, crowd=difficult and difficult_is_crowd)


def _by_stem(folder: Path, suffix: str = "") -> dict[str, Path]:
    """The files of a folder by their names without suffix: images, or those of a suffix."""
    if suffix:
        return {path.stem: path for path in folder.glob(f"*{suffix}")}
    # Of images that differ in their suffix alone the first counts.
    return {_stem(name): folder / name for name in reversed(_images(folder))}


def _images(folder: Path) -> list[str]:
    return sorted(filter(is_image, walk(folder))) if folder.is_dir() else []


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
