"""Label maps as pictures: a colour a class, over the image they belong to."""

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from jresnet.report.colours import BLUE, GREEN, ORANGE, PINK, SKY, VERMILION, rgb
from jresnet.report.drawing import as_rgb, cut, font
from jresnet.text import shown

_FIRST = (BLUE, ORANGE, GREEN, VERMILION, SKY, PINK, "#F0E442", "#7F7F7F")
_UNKNOWN = (255, 255, 255)
_LINE, _SWATCH, _MARGIN, _WIDTH = 24, 14, 12, 200  # pixels of a legend


def class_colours(count: int) -> list[str]:
    """A colour for each class, "#rrggbb".

    The first eight are those that all kinds of colour vision tell apart. Further ones differ in hue
    by the golden angle and in lightness from one to the next; a legend has to help.
    """
    colours: list[str] = list(_FIRST[:count])
    for number in range(len(colours), count):
        hue, light = 0.618034 * number % 1, (0.35, 0.65, 0.5)[number % 3]
        red, green, blue = (round(255 * c) for c in colorsys.hls_to_rgb(hue, light, 0.7))
        colours.append(f"#{red:02x}{green:02x}{blue:02x}")
    return colours


def coloured(labels: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """int `[H, W]` to uint8 `[H, W, 3]`; white where there is no class."""
    table = np.array([*map(rgb, colours), _UNKNOWN], np.uint8)
    known = (labels >= 0) & (labels < len(colours))
    return table[np.where(known, labels.astype(np.int64), len(colours))]


def blended(
    picture: np.ndarray, labels: np.ndarray, colours: Sequence[str], share: float = 0.6
) -> np.ndarray:
    """A picture, uint8 `[H, W, 1 or 3]`, under the colours of its map; its own where there is none."""
    base = as_rgb(picture).astype(np.float32)
    known = ((labels >= 0) & (labels < len(colours)))[..., None]
    mixed = np.where(known, share * coloured(labels, colours) + (1 - share) * base, base)
    return mixed.round().astype(np.uint8)


def with_legend(
    picture: np.ndarray, legend: Sequence[tuple[str, str]], width: int = _WIDTH
) -> np.ndarray:
    """A picture uint8 `[H, W, 1 or 3]`, and in `width` pixels beside it a line for each (colour, meaning)."""
    left = as_rgb(picture)
    height = max(left.shape[0], _LINE * len(legend) + 2 * _MARGIN)
    canvas = Image.new("RGB", (left.shape[1] + width, height), "white")
    canvas.paste(Image.fromarray(left), (0, 0))
    pen, x, y = ImageDraw.Draw(canvas), left.shape[1] + _MARGIN, _MARGIN
    for colour, meaning in legend:
        box = (x, y, x + _SWATCH, y + _SWATCH)
        pen.rectangle(box, fill=rgb(colour), outline="#555555")
        text = cut(shown(meaning), width - _SWATCH - 3 * _MARGIN)
        pen.text((x + _SWATCH + 8, y + _SWATCH / 2), text, "black", font(), anchor="lm")
        y += _LINE
    return np.asarray(canvas)
