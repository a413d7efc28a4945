"""Figures of what a classifier confuses: the matrix of counts, and the pictures themselves."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jresnet.report.style import GREY, STYLE, layout, literal


@matplotlib.rc_context(STYLE)
def confusion_matrices(matrices: dict[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """One matrix a title side by side: counts `[true, predicted]`, shaded by the share of the true class."""
    names = [literal(name) for name in classes]
    size = max(2.6, 0.55 * len(classes) + 1.2)
    figure = Figure(figsize=((size + 0.9) * len(matrices), size + 0.9), layout=layout())
    grid = figure.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for ax, (title, counts) in zip(grid, matrices.items(), strict=True):
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        ax.grid(False)
        ax.set(title=literal(title), xlabel="predicted")
        ticks = range(len(classes))
        ax.set_xticks(ticks, names, rotation=45 if max(map(len, names)) > 6 else 0)
        ax.set_yticks(ticks, names)
        for row, column in np.ndindex(counts.shape):
            ax.text(
                column,
                row,
                f"{counts[row, column]:,}",
                ha="center",
                va="center",
                color="white" if shares[row, column] > 0.55 else "black",
            )
    grid[0].set_ylabel("true")
    return figure


@matplotlib.rc_context(STYLE)
def picture_grid(images: np.ndarray, captions: Sequence[str], columns: int = 6) -> Figure:
    """uint8 images `[N, H, W, 1 or 3]`, each over its caption."""
    rows = max(1, math.ceil(len(images) / columns))
    figure = Figure(figsize=(1.75 * columns, 2.15 * rows), layout=layout())
    for ax in figure.subplots(rows, columns, squeeze=False).flat:
        ax.axis("off")
    for ax, image, caption in zip(figure.axes, images, captions, strict=False):
        grey = image.shape[-1] == 1
        ax.imshow(image[..., 0] if grey else image, cmap="gray", vmin=0, vmax=255)
        ax.set_title(literal(caption), fontsize=10, color=GREY)
    return figure


@matplotlib.rc_context(STYLE)
def against_examples(
    lines: Mapping[str, Mapping[int, Sequence[float]]], ylabel: str, colours: Mapping[str, str]
) -> Figure:
    """Each line's values (of several seeds, drawn as mean and range) against examples a class, a log axis."""
    figure = Figure(figsize=(7.0, 4.4), layout=layout())
    ax = figure.subplots()
    for name, values in lines.items():
        counts = sorted(values)
        means = [np.mean(values[count]) for count in counts]
        ax.plot(counts, means, marker="o", lw=2.2, ms=6, color=colours[name], label=literal(name))
        low, high = ([pick(values[count]) for count in counts] for pick in (min, max))
        ax.fill_between(counts, low, high, color=colours[name], alpha=0.15, lw=0)
    ax.set_xscale("log")
    ticks = sorted({count for values in lines.values() for count in values})
    ax.set_xticks(ticks, [f"{count:,}" for count in ticks])
    ax.minorticks_off()
    ax.set(xlabel="training examples a class", ylabel=ylabel)
    ax.legend()
    return figure
