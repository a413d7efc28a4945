"""The same crops of every net beside each other with their names, out of what trainings have drawn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jresnet.report.drawing import as_rgb, labelled
from jresnet.report.gallery import FOLDER, RECORD
from jresnet.report.html import Gallery, Thumbnail
from jresnet.storage import read_json
from jresnet.studies.stylising.report import save_pixels
from jresnet.tasks.upscaled_pictures import COLUMNS

TITLE = "Reduced, bicubic, {}, truth"
START = "start"  # the title of the net that trainings started from


def compared(folders: Mapping[str, Path], place: Path, start: Path | None = None) -> Gallery | None:
    """A row a picture that every net has drawn; None if there is none.

    Where the net that they started from has drawn the same crop, it is the column before theirs.

    Args:
        folders: of one training of each net, by the net's title.
        place: folder for the new PNG files, made if there is something to write.
        start: of the training whose weights the nets started from, if it was one.
    """
    drawn = {net: _records(folder) for net, folder in folders.items()}
    first, *others = drawn.values()
    common = [index for index in first if all(index in each for each in others)]
    begun = {} if start is None else _records(start)
    rows, titles = [], dict.fromkeys(folders)
    for number, index in enumerate(common, 1):
        entries = {net: each[index] for net, each in drawn.items()}
        head = next(iter(entries.values()))
        columns = [
            split_columns(np.asarray(Image.open(folders[net] / FOLDER / entry["file"])))
            for net, entry in entries.items()
        ]
        reduced, bicubic, _, truth = columns[0]
        if start is not None and (start / FOLDER / begun.get(index, {}).get("file", "")).is_file():
            before = split_columns(np.asarray(Image.open(start / FOLDER / begun[index]["file"])))
            # Another set, scale or reduction has other crops by the same number.
            if all(map(np.array_equal, (before[1], before[3]), (bicubic, truth))):
                entries = {START: begun[index], **entries}
                columns.insert(0, before)
                titles = {START: None, **titles}
        labels = [
            *head["caption"].split(", result")[0].split(", "),  # reduced, bicubic 28.43 dB
            *(f"{net} {entry['score']:.2f} dB" for net, entry in entries.items()),
            "truth",
        ]
        pixels = labelled([reduced, bicubic, *(each[2] for each in columns), truth], labels)
        place.mkdir(exist_ok=True)
        path = save_pixels(place / f"crop-{number:02}.png", pixels)
        rows.append(Thumbnail(path, ", ".join(labels), head["name"]))
    return Gallery(TITLE.format(", ".join(titles)), rows, large=True) if rows else None


def split_columns(pixels: np.ndarray) -> list[np.ndarray]:
    """The crops of one drawing, uint8 `[H, w, 3]` each: `side_by_side` the other way round."""
    pixels = as_rgb(pixels if pixels.ndim == 3 else pixels[..., None])
    gap = max(1, pixels.shape[0] // 24)
    width = (pixels.shape[1] - (COLUMNS - 1) * gap) // COLUMNS
    return [pixels[:, n * (width + gap) :][:, :width] for n in range(COLUMNS)]


def _records(folder: Path) -> dict[int, dict[str, Any]]:
    """Records of a training's drawings, by the picture's number, in its order.

    Drawings of before there was a column of reduced pictures are left out.
    """
    path = folder / FOLDER / RECORD
    records = read_json(path)["pictures"] if path.exists() else []
    return {
        record["index"]: record
        for record in records
        if record["caption"].startswith("reduced, ") and record["score"] is not None
    }
