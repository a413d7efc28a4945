"""Figures of errors over a sweep: medians over seeds, with the range from best to worst."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from jresnet.report.style import STYLE, assign_colours, layout, linear_axis, literal
from jresnet.studies.sensitivity.measure import KINDS, SPLITS, Cell, Errors

_MARKERS = "osD^vP"
Points = Mapping[float, Sequence[float]]


@matplotlib.rc_context(STYLE)
def median_bands(
    panels: Sequence[tuple[str, str, Mapping[str, Points]]],
    ylabels: Sequence[str],
    log_x: Sequence[bool],
) -> Figure:
    """Panels of lines through medians, with a band from the lowest to the highest value.

    Every value is a dot. The panels of a row share the y axis, which begins at 0.

    Args:
        panels: row by row; title, label of the x axis, and for each line its points: x to the values
            of the seeds.
        ylabels: one for each row.
        log_x: for each column, whether its x axis is logarithmic.

    Raises:
        ValueError: the number of panels is not rows times columns.
    """
    columns = len(log_x)
    if len(panels) != columns * len(ylabels):
        raise ValueError(f"panels {len(panels)}: expected {len(ylabels)} rows of {columns}")
    names = list(dict.fromkeys(name for _, _, lines in panels for name in lines))
    colours = assign_colours(names, str)
    figure = Figure(figsize=(5.4 * columns, 3.5 * len(ylabels) + 0.5), layout=layout())
    grid = figure.subplots(len(ylabels), columns, squeeze=False, sharey="row", sharex="col")
    handles = {}
    for number, (ax, (title, xlabel, lines)) in enumerate(zip(grid.flat, panels, strict=True)):
        row, column = divmod(number, columns)
        for name, points in lines.items():
            marker = _MARKERS[names.index(name) % len(_MARKERS)]
            handles[name] = _band(ax, points, colours[name], marker)
        ax.set_title(literal(title), loc="left", fontweight="bold")
        if log_x[column]:
            ax.set_xscale("log")
        _ticks(ax, sorted({x for points in lines.values() for x in points}))
        if column == 0:
            ax.set_ylabel(ylabels[row])
            linear_axis(ax)
            ax.set_ylim(bottom=0)
        if row == len(ylabels) - 1:
            ax.set_xlabel(xlabel)
    labels = [literal(name) for name in handles]
    figure.legend(handles.values(), labels, loc="outside lower center", ncols=max(3, len(names)))
    return figure


def _band(ax: Axes, points: Points, colour: str, marker: str):
    xs = sorted(points)
    values = [np.asarray(points[x], float) for x in xs]
    low, middle, high = ([f(v) for v in values] for f in (np.min, np.median, np.max))
    ax.fill_between(xs, low, high, color=colour, alpha=0.2, lw=0)
    for x, seeds in zip(xs, values, strict=True):
        ax.plot([x] * len(seeds), seeds, ls="", marker=marker, ms=3.5, color=colour, alpha=0.6)
    (line,) = ax.plot(xs, middle, lw=2.2, marker=marker, ms=6, color=colour)
    return line


def _ticks(ax: Axes, xs: Sequence[float]) -> None:
    ax.xaxis.set_major_locator(FixedLocator(list(xs)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def drawn(
    by_rate: Sequence[tuple[int, float]], by_depth: Sequence[tuple[int, float]], errors: Errors
) -> Figure:
    """Training errors above, test errors below; against the rate, and against the depth."""

    def lines(cells: Sequence[tuple[int, float]], split: str, axis: int) -> dict[str, Points]:
        return {kind: {at[axis]: errors[Cell(kind, *at)][split] for at in cells} for kind in KINDS}

    (depth, _), (_, rate) = by_rate[0], by_depth[0]
    panels = [
        panel
        for split in SPLITS
        for panel in (
            (
                f"{split}, {depth} layers",
                "peak learning rate (log scale)",
                lines(by_rate, split, 1),
            ),
            (f"{split}, rate {rate:g}", "layers", lines(by_depth, split, 0)),
        )
    ]
    return median_bands(panels, [f"{split} error (%)" for split in SPLITS], (True, False))
