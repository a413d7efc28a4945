"""Label maps in image files: class numbers as palette or grey values, or colours by a table."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from jresnet.data.decoders import DecodeError, guarded, open_image
from jresnet.data.sources.files import read_file, read_listing
from jresnet.errors import UsageError
from jresnet.text import shown

Colour = tuple[int, int, int]

# Names under which people keep a table of colours: Kaggle's CamVid, CamVid's own, and CVAT's.
TABLES = ("classes.csv", "class_dict.csv", "label_colors.txt", "labelmap.txt")
_COLOUR = r"(?P<r>\d{1,3})[\s,]+(?P<g>\d{1,3})[\s,]+(?P<b>\d{1,3})"
_FIRST = re.compile(rf"{_COLOUR}[\s,:]+(?P<name>\S.*)")  # 64 128 64   Animal
_LAST = re.compile(
    rf"(?:\d+\s*,\s*)?(?P<name>[^\s,:].*?)[\s,:]+{_COLOUR}(?:,?|:.*)"
)  # Animal,64,128,64


@dataclasses.dataclass(frozen=True)
class ColourTable:
    """The colour of each class in the files of a set's maps.

    - `path`: its file.
    - `names`: the classes by their number, the line in the file.
    - `numbers`: the number of each colour.
    """

    path: Path
    names: tuple[str, ...]
    numbers: Mapping[Colour, int]

    def values(self, pixels: np.ndarray) -> np.ndarray:
        """The number of each pixel's class, int64 [H, W], of uint8 [H, W, 3].

        Raises DecodeError for a colour that the table does not have.
        """
        codes = _codes(pixels)
        present = np.unique(codes)
        known = {int(_codes(np.array(colour, np.uint8))): n for colour, n in self.numbers.items()}
        unknown = [code for code in present.tolist() if code not in known]
        if unknown:
            red, rest = divmod(unknown[0], 1 << 16)
            share = np.isin(codes, unknown).mean()
            raise DecodeError(
                f"{len(unknown)} unknown colours on {share:.1%} of its pixels, such as "
                f"{red} {rest >> 8} {rest & 255}; expected those of {self.path.name}"
            )
        numbers = np.array([known[code] for code in present.tolist()], np.int64)
        return numbers[np.searchsorted(present, codes)]


def find_table(folder: Path) -> ColourTable | None:
    """The table of colours in the folder of a set; None if there is none. Raises UsageError."""
    for name in TABLES:
        path = folder / name
        if path.is_file():
            return read_table(path)
    return None


def read_table(path: Path) -> ColourTable:
    """A table of a class a line: its name and three numbers from 0 to 255, in either order.

    Tabs, commas, colons or spaces stand between them; other fields of CVAT's `labelmap.txt`, a
    first line without numbers, empty lines and lines that begin with # are passed over. Raises
    UsageError, naming the line.
    """
    names: list[str] = []
    numbers: dict[Colour, int] = {}
    for place, line in enumerate(read_listing(path), 1):
        text = line.strip()
        if not text or text.startswith("#") or (not names and not re.search(r"\d", text)):
            continue
        match = _LAST.fullmatch(text) or _FIRST.fullmatch(text)
        colour = tuple(int(match[key]) for key in "rgb") if match else ()
        if match is None or max(colour) > 255 or colour in numbers:
            raise UsageError(
                f"{shown(path)}: line {place}, {shown(text, 60)!r}: expected a class's name and a "
                "colour of its own, three numbers from 0 to 255"
            )
        numbers[colour] = len(names)  # type: ignore[index]
        names.append(match["name"].strip())
    if not names:
        raise UsageError(f"{shown(path)}: expected a class and its colour on each line")
    return ColourTable(path, tuple(names), numbers)


def read_map(path: Path, table: ColourTable | None = None) -> np.ndarray:
    """The values of a map's file, int64 [H, W]: grey values, a palette's indices, or by `table`.

    With a table, colours become its numbers, those of a palette too; grey files stay as they are.
    Raises OSError, and DecodeError as `decode_map`.
    """
    return decode_map(read_file(path), table)


def decode_map(data: bytes, table: ColourTable | None = None) -> np.ndarray:
    """`read_map` of a file's bytes.

    Raises DecodeError for a file of colours that no table explains, for a JPEG, whose values are not
    those that were saved, and for values that are not whole.
    """
    with guarded():
        with open_image(data) as image:
            if image.format == "JPEG":
                raise DecodeError("a JPEG, which changes values; expected a PNG or TIFF")
            coloured = image.mode not in ("1", "L", "LA", "P", "F") and image.mode[0] != "I"
            if table is not None and (coloured or image.mode == "P"):
                return table.values(np.asarray(image.convert("RGB")))
            values = np.asarray(_grey(image) if coloured or image.mode == "LA" else image)
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            raise DecodeError("values that are not whole; expected numbers of classes")
        return values.astype(np.int64)


def _grey(image: Image.Image) -> np.ndarray:
    """The one channel of an image whose colours are all grey. Raises DecodeError."""
    values = np.asarray(image.convert("RGB"))
    if not (values == values[..., :1]).all():
        raise DecodeError(
            f"an image of colours; expected a palette or grey values, or a table of colours in "
            f"{' or '.join(TABLES)}"
        )
    return values[..., 0]


def _codes(pixels: np.ndarray) -> np.ndarray:
    """One number for each colour of uint8 [..., 3]."""
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return red << 16 | green << 8 | blue
