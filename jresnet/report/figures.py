"""Figures of runs, large enough for the last row of a lecture hall. Nothing here touches pyplot or its state."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from jresnet.report.curves import (
    Band,
    Record,
    across_seeds,
    default_window,
)
from jresnet.report.run_figure import run_curves
from jresnet.report.style import (
    GREY,
    STYLE,
    End,
    assign_colours,
    iterations_axis,
    label_ends,
    layout,
    linear_axis,
    literal,
    training_label,
)

__all__ = ["Panel", "depth", "run_curves", "save", "training_curves"]

_DASHES = (0, (4, 2))  # of training curves, in points
Panel = Mapping[str, Sequence[Sequence[Record]]]


def depth(label: str) -> str:
    """The last whole number in the name of a net: "20" for "plain-20" and "ResNet-20". The name itself if it has none."""
    numbers = re.findall(r"\d+", label)
    return numbers[-1] if numbers else label


@matplotlib.rc_context(STYLE)
def training_curves(
    panels: Mapping[str, Panel],
    *,
    key: str = "error",
    ylabel: str = "error (%)",
    scale: float = 100.0,
    window: int | None = None,
    y_max: float | None = None,
    colour_by: Callable[[str], str] = str,
) -> Figure:
    """Training (thin, dashed) and test (bold, solid) curves side by side, in the manner of He et al. 2015, Fig. 6.

    Every net is labelled at the end of its curve with its last value (test if there is one, else training). With
    several seeds the lines are means and a band spans the extremes of the test curves.

    Args:
      panels: title of the panel -> name of the net -> records of each seed (`[read_metrics(folder)]` for one).
      key: the metric to draw from the splits "train" and "test".
      ylabel: its name with its unit.
      scale: recorded values are multiplied by this (100: a fraction to per cent).
      window: iterations of the running mean of the training curve, which is noisy for being measured on
        minibatches; 1 for none, None for `curves.default_window`. The legend says what was taken.
      y_max: upper end of the y axis; None shows everything after the first tenth of the run.
      colour_by: nets for which this returns the same share a colour across panels (`depth`: one for each depth).

    Returns:
      A figure of one axes for each panel, y shared.

    Raises:
      ValueError: there is nothing to draw, a net recorded no `key`, or two nets of a panel share a colour.
    """
    if not panels or not all(panels.values()):
        raise ValueError("panels: expected at least one panel, and at least one net in each")
    runs = [run for nets in panels.values() for seeds in nets.values() for run in seeds]
    if window is None:
        window = default_window(runs, key)
    colours = assign_colours([net for nets in panels.values() for net in nets], colour_by)
    drawn = {
        title: [
            _net(label, colours[label], seeds, key, window, scale) for label, seeds in nets.items()
        ]
        for title, nets in panels.items()
    }
    everything = [net for nets in drawn.values() for net in nets]

    figure = Figure(figsize=(max(7.0, 5.0 * len(panels)), 4.7), layout=layout())
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (title, nets) in zip(axes, drawn.items(), strict=True):
        if len({net.colour for net in nets}) < len(nets):
            raise ValueError(f"colour_by: two nets of the panel {title!r} share a colour")
        ax.set_title(literal(title), loc="left", fontweight="bold")
        for net in nets:
            _draw_net(ax, net)
        iterations_axis(ax)
    axes[0].set_ylabel(ylabel)
    linear_axis(axes[0])
    axes[0].set_ylim(*_limits(everything, y_max))
    last = max(band.steps[-1] for net in everything for band in net.bands)
    axes[0].set_xlim(0, max(1, last))
    figure.legend(handles=_legend(everything, window), loc="outside lower center", ncols=3)
    ends = [
        [End(literal(f"{net.label}  {net.last:.2f}"), net.colour, net.last) for net in nets]
        for nets in drawn.values()
    ]
    label_ends(figure, axes, ends)
    return figure


def save(figure: Figure, path: str | PathLike[str]) -> Path:
    """Writes a figure as PNG at 150 dots an inch, making the folder if need be.

    Args:
      figure: any matplotlib figure.
      path: where to; must end in `.png`.

    Returns:
      The path.

    Raises:
      ValueError: the path ends in something else.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"path: expected a name that ends in .png, got {path}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path


@dataclass(frozen=True)
class _Net:
    label: str
    colour: str
    seeds: int
    train: Band
    test: Band

    @property
    def bands(self) -> list[Band]:
        """Those of train and test that were recorded."""
        return [band for band in (self.train, self.test) if len(band.steps)]

    @property
    def last(self) -> float:
        return self.bands[-1].mean[-1]


def _net(
    label: str,
    colour: str,
    runs: Sequence[Sequence[Record]],
    key: str,
    window: int,
    scale: float,
) -> _Net:
    train = across_seeds(runs, "train", key, window).scaled(scale)
    net = _Net(label, colour, len(runs), train, across_seeds(runs, "test", key).scaled(scale))
    if not net.bands:
        raise ValueError(f"{label}: expected {key!r} in train or test records, got neither")
    return net


def _draw_net(ax: Axes, net: _Net) -> None:
    ax.plot(net.train.steps, net.train.mean, color=net.colour, lw=1.1, ls=_DASHES)
    # A line through one point would not be seen.
    marker = "o" if len(net.test.steps) == 1 else ""
    ax.plot(net.test.steps, net.test.mean, color=net.colour, lw=2.4, marker=marker)
    if net.seeds > 1:
        band = net.test
        ax.fill_between(band.steps, band.low, band.high, color=net.colour, alpha=0.2, lw=0)


def _limits(nets: Sequence[_Net], y_max: float | None) -> tuple[float, float]:
    bands = [band for net in nets for band in net.bands]
    # Every net starts at chance: a y axis that shows it leaves no room for what the nets differ in.
    settled = [band.high[band.steps >= band.steps[-1] / 10] for band in bands]
    # A net that diverged ends in NaN, and must not take the axis of the others with it.
    highs = [high for values in settled for high in values if math.isfinite(high)]
    lows = [low for band in bands for low in band.low if math.isfinite(low)]
    top = 1.05 * max(highs, default=1.0) if y_max is None else y_max
    return min([0.0, *lows]), top


def _legend(nets: Sequence[_Net], window: int) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    if any(len(net.train.steps) for net in nets):
        handles.append(Line2D([], [], color=GREY, lw=1.1, ls=_DASHES, label=training_label(window)))
    if any(len(net.test.steps) for net in nets):
        handles.append(Line2D([], [], color=GREY, lw=2.4, label="test"))
    few, many = min(net.seeds for net in nets), max(net.seeds for net in nets)
    if many > 1 and any(len(net.test.steps) for net in nets):
        count = f"{many} seeds" if few == many else f"{few} to {many} seeds"
        handles.append(
            Patch(color=GREY, alpha=0.3, lw=0, label=f"test, lowest to highest of {count}")
        )
    return handles
