"""How every figure looks: fonts, palette, the axis of iterations, names at the ends of curves."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from jresnet.report.colours import GREY, PALETTE
from jresnet.text import shown

# Any: matplotlib 3.11 narrows the type of its keys to a name that 3.9 does not have.
STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.titlesize": 14,
    "axes.labelsize": 13,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 12,
}


def literal(name: object) -> str:
    """A name that comes from data, for a label, a legend or a title: drawn as it is read, on one line.

    matplotlib would set what stands between two `$` as a formula, and leave a label that begins
    with `_` out of the legend.
    """
    text = shown(name, 80).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def assign_colours(labels: Iterable[str], colour_by: Callable[[str], str]) -> dict[str, str]:
    """A colour for each label, the same for labels that `colour_by` maps to the same string.

    Args:
      labels: in the order in which colours are handed out.
      colour_by: what a label is coloured by.

    Returns:
      Label -> hex colour: of the palette, or of evenly spaced cividis where the palette is too short.
    """
    group = {label: colour_by(label) for label in labels}
    groups = list(dict.fromkeys(group.values()))
    colours = list(PALETTE)
    if len(groups) > len(PALETTE):
        ramp = matplotlib.colormaps["cividis"]
        # The last fifth of the map is the yellow that the palette avoids too.
        points = [0.8 * i / (len(groups) - 1) for i in range(len(groups))]
        colours = [colors.to_hex(ramp(point)) for point in points]
    return {label: colours[groups.index(key)] for label, key in group.items()}


def iterations_axis(ax: Axes) -> None:
    """Names the x axis and writes 48,000 as 48k, which is what fits under a panel."""
    ax.set_xlabel("iterations")
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: f"{x / 1000:g}k" if abs(x) >= 10_000 else f"{x:,.0f}")
    )


def linear_axis(ax: Axes) -> None:
    """Marks the y axis at round numbers; matplotlib would also take 2.5, 7.5, 12.5."""
    ax.yaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10]))


def log_axis(ax: Axes) -> None:
    """A log y axis whose marks read 0.1, 0.2, 0.5, 1 rather than as powers of ten; its data must be drawn already."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    subs = (1.0, 2.0, 5.0) if high / low < 100 else (1.0,)
    ax.yaxis.set_major_locator(LogLocator(subs=subs))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def training_label(window: int) -> str:
    """The name of a training curve, which says over how many iterations it was averaged (1: not at all)."""
    return "training" if window == 1 else f"training, mean over {window:,} iterations"


def layout() -> ConstrainedLayoutEngine:
    """Room for all labels, and a margin in inches so that a figure can be framed."""
    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.07)


@dataclass(frozen=True)
class End:
    """The last point of a curve: what to write beside it, in which colour, at which y in data units."""

    text: str
    colour: str
    y: float


def label_ends(figure: Figure, axes: Sequence[Axes], ends: Sequence[Sequence[End]]) -> None:
    """Writes names to the right of each axes, at the height where their curves end, none on top of another.

    Args:
      figure: the figure of the axes; its layout is settled by this, so call it last.
      axes: linear y axes whose limits are final.
      ends: for each axes, its curves.
    """
    placed: list[list[Text]] = []
    for ax, curves in zip(axes, ends, strict=True):
        placed.append(
            [
                ax.text(
                    1.02,
                    0.5,
                    end.text,
                    transform=ax.transAxes,
                    color=end.colour,
                    va="center",
                    fontweight="bold",
                    fontsize=11,
                )
                for end in curves
            ]
        )
    # How many lines fit is known only once the layout has made room for the names.
    figure.draw_without_rendering()
    for ax, curves, texts in zip(axes, ends, placed, strict=True):
        low, high = ax.get_ylim()
        height = ax.get_window_extent().height
        # What lies outside is named at the edge it left by, NaN at the top.
        ys = [end.y if math.isfinite(end.y) else high for end in curves]
        wanted = [min(max((y - low) / (high - low), 0.0), 1.0) for y in ys]
        gap = 1.1 * max(text.get_window_extent().height for text in texts) / height
        for text, y in zip(texts, spread(wanted, gap), strict=True):
            text.set_y(y)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Moves points on a line apart until neighbours are `gap` from each other, staying near where they were.

    Args:
      wanted: positions.
      gap: smallest distance between neighbours, in the same unit.

    Returns:
      New positions in the order of `wanted`, in the same order along the line; no cluster starts below 0 unless
      a point did.
    """
    floor = min([0.0, *wanted])
    clusters: list[list[int]] = []
    bottoms: list[float] = []
    for i in sorted(range(len(wanted)), key=lambda i: wanted[i]):
        members = [i]
        bottom = wanted[i]
        # A cluster is centred on what its members wanted; where it runs into the one below, the two become one.
        while clusters and bottom < bottoms[-1] + gap * len(clusters[-1]):
            members = clusters.pop() + members
            bottoms.pop()
            centre = sum(wanted[j] for j in members) / len(members)
            bottom = max(floor, centre - gap * (len(members) - 1) / 2)
        clusters.append(members)
        bottoms.append(bottom)
    positions = [0.0] * len(wanted)
    for members, bottom in zip(clusters, bottoms, strict=True):
        for rank, j in enumerate(members):
            positions[j] = bottom + gap * rank
    return positions
