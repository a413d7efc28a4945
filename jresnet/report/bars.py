"""Values of several variants side by side."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jresnet.report.style import PALETTE, STYLE, layout, literal


@matplotlib.rc_context(STYLE)
def compared(
    names: Sequence[str],
    values: Sequence[float],
    spreads: Sequence[tuple[float, float]],
    xlabel: str,
) -> Figure:
    """A horizontal bar for each value with its range as a whisker; the first, to which all compare, dotted through."""
    figure = Figure(figsize=(9.0, 1.2 + 0.42 * len(names)), layout=layout())
    ax = figure.subplots()
    rows = np.arange(len(names))
    colours = [PALETTE[1], *[PALETTE[0]] * (len(names) - 1)]
    ax.barh(rows, values, color=colours, height=0.62)
    low, high = (np.array(ends) for ends in zip(*spreads, strict=True))
    if (high > low).any():
        errors = np.stack([values - low, high - values])
        ax.errorbar(values, rows, xerr=errors, fmt="none", color="black", lw=1.2, capsize=3)
    ax.axvline(values[0], color=PALETTE[1], lw=1.4, ls=":")
    for row, value, end in zip(rows, values, high, strict=True):
        ax.annotate(
            f"{value:.2f}", (max(value, end), row), (5, 0), textcoords="offset points", va="center"
        )
    ax.set_yticks(rows, [literal(name) for name in names])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(xlabel)
    ax.set_xlim(0, 1.12 * max(high.max(), 1e-9))
    return figure
