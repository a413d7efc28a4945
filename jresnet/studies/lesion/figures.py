"""Figures of nets without some of their blocks, or with blocks in another order."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jresnet.report.style import GREY, PALETTE, STYLE, layout, literal

Pairs = Sequence[tuple[float, float]]


@matplotlib.rc_context(STYLE)
def deletions(
    nets: Mapping[str, Sequence[float]],
    intact: Mapping[str, float],
    marked: Sequence[int],
    mark: str,
    ylabel: str,
) -> Figure:
    """Each net's values without block 1, 2, ...; intact nets dotted, `marked` blocks shaded."""
    figure = Figure(figsize=(9.0, 4.4), layout=layout())
    ax = figure.subplots()
    for number, block in enumerate(marked):
        label = mark if number == 0 else None
        ax.axvspan(block + 0.6, block + 1.4, color="#d9d9d9", lw=0, label=label)
    for (net, values), colour in zip(nets.items(), PALETTE, strict=False):
        blocks = np.arange(1, len(values) + 1)
        ax.plot(blocks, values, "o-", color=colour, lw=1.8, ms=5, label=literal(net))
        ax.axhline(intact[net], color=colour, lw=1.4, ls=":", label=literal(f"{net}, intact"))
    ax.set(xlabel="deleted block", ylabel=ylabel, ylim=(0, None))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@matplotlib.rc_context(STYLE)
def amounts(deleted: Mapping[str, Pairs], swapped: Mapping[str, Pairs], ylabel: str) -> Figure:
    """Values against deleted blocks (medians, ranges), and against Kendall's tau (all trials)."""
    figure = Figure(figsize=(10.0, 4.6), layout=layout())
    left, right = figure.subplots(1, 2, sharey=True)
    for (net, pairs), colour in zip(deleted.items(), PALETTE, strict=False):
        _medians(left, net, pairs, colour)
    for pairs, colour in zip(swapped.values(), PALETTE, strict=False):
        if pairs:
            right.scatter(*zip(*pairs, strict=True), color=colour, s=22, alpha=0.7, lw=0)
    left.set(xlabel="number of deleted blocks", ylabel=ylabel, ylim=(0, None))
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_xlabel("Kendall's τ of the order of blocks")
    right.invert_xaxis()
    for ax, title in ((left, "Blocks deleted"), (right, "Blocks swapped")):
        ax.set_title(title, loc="left", fontweight="bold")
    if not any(swapped.values()):
        right.text(0.5, 0.5, "no two blocks can be swapped", color=GREY, ha="center")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _medians(ax: Axes, net: str, pairs: Pairs, colour: str) -> None:
    grouped: dict[float, list[float]] = {}
    for amount, value in pairs:
        grouped.setdefault(amount, []).append(value)
    amounts = sorted(grouped)
    ax.plot(
        amounts,
        [np.median(grouped[a]) for a in amounts],
        "o-",
        color=colour,
        lw=2,
        label=literal(net),
    )
    low, high = ([pick(grouped[a]) for a in amounts] for pick in (min, max))
    ax.fill_between(amounts, low, high, color=colour, alpha=0.15, lw=0)
