"""Boxes in a table of comma-separated values, a line each, x1 y1 x2 y2 in continuous pixels.

The first line names the columns (`COLUMNS`). A line with an image alone is one without objects.
"""

import csv
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from jresnet.data.lines import read_lines
from jresnet.data.sources.box_table import Rows, known_size
from jresnet.data.sources.files import holding, is_below
from jresnet.errors import UsageError
from jresnet.text import shown

COLUMNS = {
    "image": ("image", "filename", "file_name", "image_path", "image_name", "path", "file", "img"),
    "x1": ("x1", "xmin", "x_min", "left"),
    "y1": ("y1", "ymin", "y_min", "top"),
    "x2": ("x2", "xmax", "x_max", "right"),
    "y2": ("y2", "ymax", "y_max", "bottom"),
    "class": ("class", "label", "class_name", "category", "label_name"),
    "split": ("split", "subset", "set"),
    "height": ("height", "image_height"),
    "width": ("width", "image_width"),
}
CORNERS = ("x1", "y1", "x2", "y2")
Row = Mapping[str, str]


def read(path: Path, folders: Sequence[Path], splits: Sequence[str] = ()) -> Rows:
    """The objects of one split.

    Args:
        path: the table.
        folders: where its images may lie; they are in the first that has one of them.
        splits: names of the split in the column `split`; all lines without.

    Raises:
        UsageError: for a file that is no such table.
    """
    lines = [(number, row) for number, row in rows_of(path) if _belongs(row, splits)]
    rows = Rows(holding(folders, [row["image"] for _, row in lines[:16]]), "line")
    positions: dict[str, int] = {}
    for number, row in lines:
        title, name = (str(path), number), row["image"]
        if not name or not is_below(name):
            rows.fault(title, f"image={shown(name)!r}: expected a file in the folder of images")
            continue
        if name not in positions:
            positions[name] = rows.image(name, known_size(row.get("height"), row.get("width")))
        corners = [row[corner] for corner in CORNERS]
        if not any(corners):
            continue
        try:
            box = list(map(float, corners))
        except ValueError:
            rows.fault(title, f"its box is {shown(corners, 100)}: expected x1 y1 x2 y2")
            continue
        if not row["class"]:
            rows.fault(title, "has no class: expected one")
            continue
        rows.add(positions[name], row["class"], box, title)
    return rows


@functools.lru_cache(maxsize=1)
def splits_of(path: Path, changed: int) -> frozenset[str]:
    """The names in the column `split` of a table that changed at this time. Raises UsageError."""
    del changed
    rows = [row for _, row in rows_of(path)]
    if rows and "split" not in rows[0]:
        raise UsageError(f"{shown(path)}: expected a column split, or a table for each split")
    return frozenset(row["split"].lower() for row in rows)


def rows_of(path: Path) -> list[tuple[int, Row]]:
    """The lines of a table with their numbers, by the names of `COLUMNS`. Raises UsageError."""
    try:
        lines = read_lines(path)
        head = lines[0] if lines else ""
        delimiter = max(",;\t", key=head.count)
        names, *values = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise UsageError(f"{shown(path)}: not a readable table ({shown(error, 200)})") from error
    places = {name.strip().lower(): place for place, name in reversed(list(enumerate(names)))}
    columns = {}
    for column, others in COLUMNS.items():
        there = [places[name] for name in others if name in places]
        if there:
            columns[column] = there[0]
        elif column in ("image", "class", *CORNERS):
            raise UsageError(
                f"{shown(path)}: expected a column {' or '.join(others)}, it has "
                f"{shown(', '.join(names), 200)}"
            )
    return [
        (number, {name: row[at].strip() if at < len(row) else "" for name, at in columns.items()})
        for number, row in enumerate(values, 2)
        if row
    ]


def _belongs(row: Row, splits: Sequence[str]) -> bool:
    return not splits or row["split"].lower() in splits
