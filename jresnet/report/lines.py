"""Panels of lines against depth, steps or distance: what most instruments draw."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jresnet.report.style import PALETTE, STYLE, assign_colours, layout, literal

_MARKERS = "osD^vPX"


class Line(NamedTuple):
    """Points `x`, `y`, with NaN where the line breaks; `dashed` for theory and what is compared with."""

    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False


@matplotlib.rc_context(STYLE)
def line_panels(
    panels: Mapping[str, Mapping[str, Line]],
    xlabel: str,
    ylabel: str,
    *,
    log: bool = False,
    columns: int = 3,
    share_y: bool = True,
) -> Figure:
    """Title of the panel -> name of the line -> its points; one legend for all panels.

    Lines of one name have one colour and marker. On a log axis values that are not positive are
    left out. Raises ValueError if there is no panel.
    """
    if not panels:
        raise ValueError("panels: expected at least one")
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = assign_colours(names, str)
    # Three in a row, and four as two and two: a page is no wider, and words stay readable.
    across = len(panels) if len(panels) < 4 else -(-len(panels) // 2)
    down = -(-len(panels) // across)
    legend_rows = -(-len(names) // columns)
    size = (max(7.0, 5.0 * across), 4.3 * down + 0.3 * legend_rows)
    figure = Figure(figsize=size, layout=layout())
    grid = figure.subplots(down, across, squeeze=False, sharey=share_y)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    handles = {}
    for ax, (title, lines) in zip(grid.flat, panels.items(), strict=False):
        ax.set_title(literal(title), loc="left", fontweight="bold")
        for name, line in lines.items():
            x, y = np.asarray(line.x, float), np.asarray(line.y, float)
            y = np.where((y > 0) | (not log), y, np.nan)
            number = names.index(name)
            marker = "" if line.dashed else _MARKERS[number % len(_MARKERS)]
            (handles[name],) = ax.plot(
                x,
                y,
                lw=1.8 if line.dashed else 2.2,
                ls="--" if line.dashed else "-",
                marker=marker,
                ms=5,
                markevery=max(1, len(x) // 12),
                color=colours[name],
            )
        if log:
            ax.set_yscale("log")
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 4, 5, 10]))
        ax.set_xlabel(xlabel)
    for row in grid:
        row[0].set_ylabel(ylabel)
    if len(names) > 1 or names[0]:
        labels = [literal(name) for name in handles]
        figure.legend(handles.values(), labels, loc="outside lower center", ncols=columns)
    return figure


@matplotlib.rc_context(STYLE)
def bars(values: Mapping[str, Sequence[float]], first: int, xlabel: str, ylabel: str) -> Figure:
    """Groups of bars at `first, first + 1, ...`, one bar in each for every name."""
    figure = Figure(figsize=(8.5, 4.6), layout=layout())
    ax = figure.subplots()
    width = 0.8 / len(values)
    for number, (name, heights) in enumerate(values.items()):
        x = np.arange(len(heights)) + first + width * (number - (len(values) - 1) / 2)
        ax.bar(x, heights, width, color=PALETTE[number], label=literal(name))
    ax.axhline(0, color="#555555", lw=1)
    ax.xaxis.set_major_locator(MaxNLocator(20, integer=True))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
