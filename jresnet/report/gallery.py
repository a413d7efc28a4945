"""Evaluation examples that a training drew: files in its folder, and their part of its page.

`pictures/` of a training's folder holds a PNG an example, and `pictures.json` about them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jresnet.errors import UsageError
from jresnet.report.html import Gallery, Section, Text, Thumbnail
from jresnet.storage import read_json, replacing, write_json

LONG = 2.5  # width by height
FOLDER, RECORD = "pictures", "pictures.json"
GROUPS = {
    "worst": "The worst",
    "median": "In the middle",
    "best": "The best",
    "first": "The first examples",
}
_KEYS = {"file", "name", "caption", "colour"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One picture: uint8 `[H, W, 1 or 3]`, and what is said of its example.

    `group` is a key of `GROUPS`, `name` the example's file or number.
    """

    group: str
    index: int
    name: str
    score: float | None
    pixels: np.ndarray
    caption: str
    colour: str | None = None


def write(
    folder: Path, split: str, entries: Sequence[Entry], legend: Sequence[tuple[str, str]]
) -> None:
    """Leave pictures in a training's folder, in the place of those that are there. Raises OSError."""
    pictures = folder / FOLDER
    pictures.mkdir(exist_ok=True)
    records = []
    for entry in entries:
        rank = sum(record["group"] == entry.group for record in records) + 1
        file = f"{entry.group}-{rank:02}.png"
        pixels = entry.pixels[..., 0] if entry.pixels.shape[-1] == 1 else entry.pixels
        with replacing(pictures / file) as stream:
            Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
        about = dataclasses.asdict(dataclasses.replace(entry, pixels=np.zeros(0)))
        del about["pixels"]
        records.append({"file": file, **about})
    write_json(
        pictures / RECORD,
        {"split": split, "legend": [list(pair) for pair in legend], "pictures": records},
    )
    drawn = {record["file"] for record in records}
    for path in pictures.glob("*.png"):
        if path.name not in drawn:  # of more pictures, before
            path.unlink()


def section(folder: Path) -> Section | None:
    """The pictures of a training for its page; None if it has none. Raises UsageError for damage."""
    path = folder / FOLDER / RECORD
    if not path.exists():
        return None
    record = read_json(path)
    try:
        groups = _groups(record["pictures"])
        legend = [(str(colour), str(meaning)) for colour, meaning in record["legend"]]
        split = str(record["split"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{str(path)!r} is damaged ({error}): delete the folder") from error
    items: list[Any] = [Text([_explained(split, groups)])]
    for place, (group, records) in enumerate(groups.items()):
        thumbnails = [
            Thumbnail(path.parent / entry["file"], entry["caption"], entry["name"], entry["colour"])
            for entry in records
        ]
        items.append(Gallery(GROUPS.get(group, group), thumbnails, [] if place else legend))
    return Section("Examples", items)


def strip(folder: Path, title: str, limit: int) -> Gallery | None:
    """At most `limit` of a training's pictures, spread over all of them; None if it has none.

    They stand in a row, or below one another if they are long, under file names without folders.
    Raises UsageError for damage.
    """
    drawn = section(folder)
    if drawn is None:
        return None
    galleries = [item for item in drawn.items if isinstance(item, Gallery)]
    thumbnails: list[Thumbnail] = [one for each in galleries for one in each.pictures]
    legend = next((each.legend for each in galleries if each.legend), ())
    count = min(limit, len(thumbnails))
    spread = [thumbnails[number * len(thumbnails) // count] for number in range(count)]
    spread = [dataclasses.replace(one, name=Path(one.name).name) for one in spread]
    return Gallery(title, spread, legend, large=any(map(_is_long, spread)), wide=True)


def _is_long(picture: Thumbnail) -> bool:
    """Whether a picture is so much wider than high that three in a row are too small to be seen."""
    with Image.open(picture.path) as image:
        return image.width > LONG * image.height


def _groups(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if missing := _KEYS - record.keys():
            raise KeyError(*missing)
        groups.setdefault(record["group"], []).append(record)
    return groups


def _explained(split: str, groups: Mapping[str, Sequence[Any]]) -> str:
    count = sum(map(len, groups.values()))
    if "worst" not in groups:
        return f"{count} examples of the {split} split, as the trained net sees them."
    return (
        f"{count} examples of the {split} split, sorted by the task's score of the result: the "
        "worst, those around the median, and the best."
    )
