"""Pictures with results drawn into them or beside them: pixels in, pixels out."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jresnet.report.colours import BLUE, SKY, rgb
from jresnet.text import shown

SMALLEST, LARGEST = 256, 1024  # pixels of the longer side of a picture in a drawing
_PANEL, _ROW, _MARGIN = 320, 44, 16  # pixels of what stands beside a picture
_TEXT = 15  # pixels
_LABEL = 20  # pixels: pages show rows of labelled pictures at two thirds of their size


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """uint8 `[H, W]` or `[H, W, 1 or 3]` as `[H, W, 3]`."""
    if picture.ndim == 2:
        picture = picture[..., None]
    return np.ascontiguousarray(np.broadcast_to(picture, (*picture.shape[:2], 3)))


def enlarged(picture: np.ndarray, smallest: int = SMALLEST) -> np.ndarray:
    """A small picture with every pixel as a square of several, so that it can be seen."""
    factor = max(1, round(smallest / max(picture.shape[:2])))
    return picture.repeat(factor, 0).repeat(factor, 1)


def fitted(picture: np.ndarray) -> np.ndarray:
    """uint8 `[H, W, 3]` whose longer side is neither tiny nor above `LARGEST`."""
    image = Image.fromarray(enlarged(as_rgb(picture)))
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)


def with_bars(
    picture: np.ndarray,
    bars: Sequence[tuple[str, float]],
    dark: int = 0,
    texts: Sequence[str] | None = None,
) -> np.ndarray:
    """A picture, and beside it a bar for each (name, value from 0 to 1), one of them dark.

    uint8 `[H, W, 1 or 3]` to uint8 `[height, width, 3]`. `texts` stand beside the names, by default
    the values in per cent.
    """
    left = fitted(picture)
    height = max(left.shape[0], _ROW * len(bars) + 2 * _MARGIN)
    canvas = Image.new("RGB", (left.shape[1] + _PANEL, height), "white")
    canvas.paste(Image.fromarray(left), (0, (height - left.shape[0]) // 2))
    pen, letters = ImageDraw.Draw(canvas), font()
    x, end = left.shape[1] + _MARGIN, canvas.width - _MARGIN
    y = (height - _ROW * len(bars)) // 2
    for rank, (name, value) in enumerate(bars):
        number = f"{100 * value:.1f} %" if texts is None else texts[rank]
        room = end - x - letters.getlength(number) - 8
        pen.text((x, y), cut(shown(name), room), "black", letters)
        pen.text((end, y), number, "black", letters, anchor="ra")
        low, high = y + _TEXT + 6, y + _TEXT + 16
        pen.rectangle((x, low, end, high), fill="#e9ecef")
        if (width := round((end - x) * value)) > 0:
            pen.rectangle((x, low, x + width, high), fill=rgb(BLUE if rank == dark else SKY))
        y += _ROW
    return np.asarray(canvas)


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one height, uint8 `[H, W, 1 or 3]` each, with white between them."""
    gap = max(1, pictures[0].shape[0] // 24)
    white = np.full((pictures[0].shape[0], gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (white, as_rgb(picture))]
    return np.concatenate(parts[1:], 1)


def labelled(pictures: Sequence[np.ndarray], labels: Sequence[str], columns: int = 5) -> np.ndarray:
    """Pictures of one size with a label below each, in rows of equal length, uint8 `[H, W, 3]`.

    Rows have at most `columns` pictures, so that each can be seen on a printed page; the last one
    may have fewer.
    """
    height, width = pictures[0].shape[:2]
    gap, strip = max(1, height // 24), 2 * _LABEL
    rows = -(-len(pictures) // columns)
    across = -(-len(pictures) // rows)
    size = across * (width + gap) - gap, rows * (height + strip + gap) - gap
    canvas = Image.new("RGB", size, "white")
    pen, letters = ImageDraw.Draw(canvas), font(_LABEL)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        x, y = number % across * (width + gap), number // across * (height + strip + gap)
        canvas.paste(Image.fromarray(as_rgb(picture)), (x, y))
        text = cut(shown(label), width, letters)
        pen.text((x + width // 2, y + height + strip // 2), text, "black", letters, anchor="mm")
    return np.asarray(canvas)


def padded(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of any sizes as one array uint8 `[n, H, W, 3]`, white around smaller ones."""
    height, width = np.max([picture.shape[:2] for picture in pictures], 0)
    array = np.full((len(pictures), height, width, 3), 255, np.uint8)
    for row, picture in zip(array, pictures, strict=True):
        row[: picture.shape[0], : picture.shape[1]] = as_rgb(picture)
    return array


def cut(text: str, room: float, letters: ImageFont.FreeTypeFont | None = None) -> str:
    """The beginning of a text that has room in a line of so many pixels."""
    letters = letters or font()
    if letters.getlength(text) <= room:
        return text
    while text and letters.getlength(f"{text}...") > room:
        text = text[:-1]
    return f"{text}..."


@functools.cache
def font(size: int = _TEXT) -> ImageFont.FreeTypeFont:
    """The letters of drawings, so many pixels high."""
    # matplotlib brings it, which takes a moment to import; Pillow's own font is of Latin only.
    import matplotlib

    path = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size)
