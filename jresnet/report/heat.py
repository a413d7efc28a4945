"""A map of numbers laid over a picture as colours, with words below it."""

import textwrap

import numpy as np
from PIL import Image, ImageDraw

from jresnet.report.drawing import as_rgb, font
from jresnet.text import shown

_LINE, _MARGIN, _LETTER = 20, 8, 8  # pixels of a line of words, around it, and of a letter


def heated(picture: np.ndarray, heat: np.ndarray, share: float = 0.5) -> np.ndarray:
    """A picture under the colours of a map, dark blue for 0 to yellow for 1, uint8 `[H, W, 3]`.

    Args:
        picture: uint8 `[H, W, 1 or 3]`.
        heat: float `[H, W]` in [0, 1]; nan leaves the picture as it is.
        share: how much of the colours is seen.
    """
    import matplotlib

    colours = 255 * matplotlib.colormaps["viridis"](np.nan_to_num(heat))[..., :3]
    base = as_rgb(picture).astype(np.float64)
    mixed = np.where(np.isnan(heat)[..., None], base, share * colours + (1 - share) * base)
    return mixed.round().astype(np.uint8)


def with_words(picture: np.ndarray, words: str) -> np.ndarray:
    """A picture and words in lines below it, uint8 `[height, W, 3]`."""
    width = picture.shape[1]
    lines = textwrap.wrap(shown(words, len(words)), max(12, (width - 2 * _MARGIN) // _LETTER))
    height = picture.shape[0] + _LINE * len(lines) + 2 * _MARGIN
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(Image.fromarray(as_rgb(picture)), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        y = picture.shape[0] + _MARGIN + _LINE * number
        pen.text((_MARGIN, y), line, "black", font(14))
    return np.asarray(canvas)
