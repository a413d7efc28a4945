"""The figure of paths: how many of each length, what gradient each carries, and the product."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jresnet.report.style import GREY, PALETTE, STYLE, layout


@matplotlib.rc_context(STYLE)
def by_length(
    shares: np.ndarray, norms: np.ndarray, carried: np.ndarray, effective: tuple[int, int]
) -> Figure:
    """Three panels against the path length 0, 1, ...

    Args:
        shares: shares of paths of each length.
        norms: gradient norms of single paths `[lengths, samples]`, on a log axis with their mean.
        carried: shares of the gradient of each length.
        effective: first and last of the lengths that are shaded.
    """
    figure = Figure(figsize=(13.0, 4.2), layout=layout())
    left, middle, right = figure.subplots(1, 3)
    lengths = np.arange(len(shares))
    left.bar(lengths, 100 * shares, color=PALETTE[0])
    left.set_ylabel("paths (%)")
    middle.semilogy(np.repeat(lengths, norms.shape[1]), norms.ravel(), ".", color=GREY, alpha=0.4)
    middle.semilogy(lengths, norms.mean(1), "o-", color=PALETTE[1], ms=4, label="mean")
    middle.set_ylabel("gradient norm of one path")
    middle.legend()
    right.axvspan(effective[0] - 0.5, effective[1] + 0.5, color="#d9d9d9", lw=0)
    right.bar(lengths, 100 * carried, color=PALETTE[2])
    right.set_ylabel("gradient, all paths (%)")
    titles = ("How many paths", "What each carries", "The product (grey: 95 %)")
    for ax, title in zip((left, middle, right), titles, strict=True):
        ax.set_title(title, loc="left", fontweight="bold")
        ax.set_xlabel("path length (blocks)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
