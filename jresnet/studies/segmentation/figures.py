"""Figures of segmentation: a score of each class, and what is taken for what."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jresnet.report.colours import BLUE, GREEN, ORANGE, PINK
from jresnet.report.style import STYLE, layout, literal

PALETTE = (BLUE, ORANGE, GREEN, PINK)  # one colour a net


@matplotlib.rc_context(STYLE)
def class_bars(
    scores: Mapping[str, Mapping[str, float]],
    shares: Mapping[str, float] | None,
    score: str = "IoU",
) -> Figure:
    """A bar for each class and net.

    Args:
        scores: from 0 to 1 by class, for each net; NaN, and no bar, for a class that neither truth
            nor prediction has.
        shares: of all labelled pixels, by class; it stands behind the class's name. Without
            them the classes are in the order of the scores.
        score: name of what the bars show.
    """
    shares = shares or {}
    names = sorted(shares or next(iter(scores.values())), key=lambda name: -shares.get(name, 0))
    height = 0.8 / len(scores)
    row_inches = max(0.42, 0.2 * len(scores))  # room for the number at each bar
    figure = Figure(figsize=(7.0, 0.9 + row_inches * len(names)), layout=layout())
    ax = figure.subplots()
    rows = np.arange(len(names))
    for place, (net, of_class) in enumerate(scores.items()):
        values = np.array([of_class.get(name, np.nan) for name in names])
        colour = PALETTE[place % len(PALETTE)]
        offset = (place - (len(scores) - 1) / 2) * height
        ax.barh(rows + offset, values, height, color=colour, label=literal(net))
        for row, value in zip(rows, values, strict=True):
            told = f"{value:.2f}" if np.isfinite(value) else "absent"
            ax.text(np.nan_to_num(value) + 0.01, row + offset, told, va="center", fontsize=8)
    shown = {name: f" ({share:.1%})" for name, share in shares.items()}
    ax.set_yticks(rows, [f"{literal(name)}{shown.get(name, '')}" for name in names])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.05), xlabel=score)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(scores))
    return figure


@matplotlib.rc_context(STYLE)
def confusion_shares(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Shares in per cent of each true class (row) by predicted class; counts of pixels are too long."""
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    names = [literal(name) for name in classes]
    figure = Figure(figsize=(7.0, min(7.0, 1.8 + 0.42 * len(names))), layout=layout())
    ax = figure.subplots()
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    ax.grid(False)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="predicted", ylabel="true")
    if len(names) <= 24:
        for row, column in np.ndindex(shares.shape):
            if shares[row, column] >= 0.5:
                colour = "white" if shares[row, column] > 55 else "black"
                text = f"{shares[row, column]:.0f}"
                ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    return figure
