"""Frames of a video in their order, each with its time and the class of the clip around it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from jresnet.report.colours import BLUE, rgb
from jresnet.report.drawing import as_rgb, cut, font

ACROSS = 6  # frames in a row
_SIDE, _LINE, _GAP = 160, 20, 12  # pixels


class Moment(NamedTuple):
    """A frame uint8 `[H, W, 1 or 3]`, its time in words, a class and its probability."""

    frame: np.ndarray
    time: str
    name: str
    probability: float


def timeline(moments: Sequence[Moment], title: str) -> np.ndarray:
    """The frames in rows from left to right, below each its time, its class, and a bar as long as
    the probability; the title above them. uint8 `[height, width, 3]`."""
    across = min(ACROSS, len(moments))
    tall = max(_height(moment.frame) for moment in moments)
    cell = (_SIDE + _GAP, tall + 3 * _LINE + _GAP)
    rows = -(-len(moments) // across)
    width = max(across, 3) * cell[0] + _GAP
    canvas = Image.new("RGB", (width, _LINE + 2 * _GAP + rows * cell[1]), "white")
    pen, letters = ImageDraw.Draw(canvas), font()
    pen.text((_GAP, _GAP), cut(title, width - 2 * _GAP), "black", letters)
    for number, moment in enumerate(moments):
        row, column = divmod(number, across)
        x, y = _GAP + column * cell[0], _LINE + 2 * _GAP + row * cell[1]
        size = (_SIDE, _height(moment.frame))
        # The pixels of a small frame stay squares.
        how = (
            Image.Resampling.NEAREST if moment.frame.shape[1] < _SIDE else Image.Resampling.LANCZOS
        )
        canvas.paste(Image.fromarray(as_rgb(moment.frame)).resize(size, how), (x, y))
        y += tall + 2
        pen.text((x, y), moment.time, "black", letters)
        share = f"{moment.probability:.0%}"
        room = _SIDE - letters.getlength(share) - 6
        pen.text((x, y + _LINE), cut(moment.name, room), "black", letters)
        pen.text((x + _SIDE, y + _LINE), share, "black", letters, anchor="ra")
        low = y + 2 * _LINE
        pen.rectangle((x, low, x + _SIDE - 1, low + 8), fill="#e9ecef")
        if (length := round((_SIDE - 1) * moment.probability)) > 0:
            pen.rectangle((x, low, x + length, low + 8), fill=rgb(BLUE))
    return np.asarray(canvas)


def _height(frame: np.ndarray) -> int:
    return max(1, round(_SIDE * frame.shape[0] / frame.shape[1]))
