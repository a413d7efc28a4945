"""The figure of the size of branches in residual nets."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jresnet.report.style import GREY, PALETTE, STYLE, layout, literal, log_axis


@matplotlib.rc_context(STYLE)
def branch_sizes(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """`|F(x)| / |S(x)|` against the block, a line for each net."""
    figure = Figure(figsize=(8.5, 4.6), layout=layout())
    ax = figure.subplots()
    markers = "osD^"
    for number, (label, values) in enumerate(sizes.items()):
        x = np.arange(1, len(values) + 1)
        marker = markers[number % len(markers)]
        ax.plot(x, values, lw=2.2, marker=marker, ms=6, color=PALETTE[number], label=literal(label))
    ax.axhline(1, color=GREY, lw=1.5, ls="--", label="branch as large as shortcut")
    log_axis(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="block", ylabel="$|F(x)|\\;/\\;|S(x)|$ (log scale)")
    figure.legend(loc="outside lower center", ncols=1)
    return figure
