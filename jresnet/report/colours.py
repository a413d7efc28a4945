"""Colours that all kinds of colour vision tell apart, as Okabe and Ito chose them.

Their yellow is left out, which is too light on white.
"""

BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK = PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
GREY = "#555555"


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue from 0 to 255 of "#rrggbb"."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
