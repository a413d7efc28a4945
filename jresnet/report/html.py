"""The report of a run or a study: one HTML file that holds everything it shows and asks the network for nothing."""

import base64
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import jinja2

from jresnet.report.text import layout
from jresnet.storage import replacing
from jresnet.text import shown

_PNG = b"\x89PNG\r\n\x1a\n"
DETAILED = 600  # pixels; a wider picture needs room to be read


@dataclass(frozen=True)
class Text:
    """Paragraphs of plain text; markup in them is shown, not obeyed."""

    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table. Columns of numbers are set to the right; a number is written as `text.format_cell` has it."""

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A PNG file, copied into the report when that is written. `alt` is for those who cannot see it."""

    path: str | PathLike[str]
    caption: str
    alt: str


@dataclass(frozen=True)
class Thumbnail:
    """A small PNG file of a `Gallery`, with caption and name below it, in a frame of `colour`."""

    path: str | PathLike[str]
    caption: str
    name: str = ""
    colour: str | None = None


@dataclass(frozen=True)
class Gallery:
    """Pictures in rows, as many as have room, under a heading; `legend` explains colours.

    `large` pictures stand one in a row, `wide` ones three at most, as they do without being asked if
    one of them is much wider than high, or detailed.
    """

    title: str
    pictures: Sequence[Thumbnail]
    legend: Sequence[tuple[str, str]] = ()
    large: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Link:
    """A line that leads to another page, by a path relative to this one."""

    href: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command line, after a word on it, in the type of a terminal."""

    lead: str
    line: str


Item = Text | Table | Figure | Gallery | Link | Command


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in order."""

    title: str
    items: Sequence[Item]


def write_report(
    path: str | PathLike[str],
    title: str,
    summary: str,
    sections: Sequence[Section],
    provenance: Mapping[str, object],
) -> Path:
    """Writes a self-contained HTML report. A reader never meets half a file: it is renamed into place when whole.

    Args:
      path: where to, e.g. `runs/<name>/report.html`; the folder is made if need be.
      title: the heading, and the name in the browser's tab.
      summary: the result, in one sentence.
      sections: the body.
      provenance: how it was made, name -> value: command, versions, commit, hardware, date.

    Returns:
      The path.

    Raises:
      FileNotFoundError: a figure is not there.
      ValueError: a figure is not a PNG, or a row of a table does not fit its headers.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(
        resources.files("jresnet.report").joinpath("report.html").read_text(encoding="utf-8")
    )
    html = template.render(
        title=title,
        summary=summary,
        sections=[
            {"title": section.title, "items": [_view(item) for item in section.items]}
            for section in sections
        ],
        provenance=provenance,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(html.encode())
    return path


def _view(item: Item) -> dict[str, Any]:
    """An item as the template takes it."""
    match item:
        case Text():
            return {"kind": "text", "paragraphs": item.paragraphs}
        case Link():
            return {"kind": "link", "href": item.href, "text": item.text}
        case Command():
            return {"kind": "command", "lead": item.lead, "line": item.line}
        case Table():
            cells, numeric = layout(item.headers, item.rows)
            return {
                "kind": "table",
                "caption": item.caption,
                "headers": item.headers,
                "rows": cells,
                "classes": ["number" if right else "word" for right in numeric],
            }
        case Figure():
            return {
                "kind": "figure",
                "caption": item.caption,
                "alt": item.alt,
                **_embedded(item.path),
            }
        case Gallery():
            pictures = [
                {
                    "caption": picture.caption,
                    "name": picture.name,
                    "colour": _checked(picture.colour) if picture.colour else "",
                    **_embedded(picture.path),
                }
                for picture in item.pictures
            ]
            return {
                "kind": "gallery",
                "title": item.title,
                "legend": [(_checked(colour), meaning) for colour, meaning in item.legend],
                "pictures": pictures,
                "wide": item.wide
                or any(p["width"] > 1.5 * p["height"] or p["width"] > DETAILED for p in pictures),
                "large": item.large,
            }


def _embedded(path: str | PathLike[str]) -> dict[str, Any]:
    """A PNG file's size and content."""
    data = Path(path).read_bytes()
    width, height = _png_size(data, path)
    return {"width": width, "height": height, "base64": base64.b64encode(data).decode("ascii")}


def _checked(colour: str) -> str:
    """A colour that nothing can hide in. Raises ValueError."""
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
        raise ValueError(f"colour={colour!r}: expected #rrggbb")
    return colour


def _png_size(data: bytes, path: str | PathLike[str]) -> tuple[int, int]:
    # The browser needs the size to leave the right space before the image is decoded.
    if not data.startswith(_PNG) or len(data) < 24:
        raise ValueError(f"{path}: expected a PNG, got a file that begins with {data[:8]!r}")
    return struct.unpack(">II", data[16:24])
