"""Figures of the hand-derived backward pass and of the expansion of a net."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jresnet.report.style import GREY, PALETTE, STYLE, layout


@matplotlib.rc_context(STYLE)
def gradient_agreement(
    names: Sequence[str], largest: Sequence[float], difference: Sequence[float]
) -> Figure:
    """Each parameter's largest gradient, and the largest difference between the methods."""
    figure = Figure(figsize=(9.0, 4.6), layout=layout())
    ax = figure.subplots()
    x, floor = np.arange(len(names)), np.finfo(float).tiny
    ax.plot(x, largest, "o", ms=5, color=PALETTE[0], label="largest entry of the gradient")
    values = np.asarray(difference)
    ax.plot(
        x[values > 0],
        values[values > 0],
        "D",
        ms=5,
        color=PALETTE[1],
        label="largest difference, by hand − jax.grad",
    )
    ax.axhline(1e-10, color=GREY, lw=1.5, ls="--", label="1e-10")
    ax.set_yscale("log")
    low = min([value for value in difference if value > 0], default=floor)
    ax.set_ylim(min(low, 1e-17) / 3, max(largest) * 10)
    ax.set(xlabel="parameter, from the stem to the head", ylabel="gradient (nats per unit)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@matplotlib.rc_context(STYLE)
def expansion_shares(
    blocks: Sequence[str], start: float, branches: Sequence[float], corrections: Sequence[float]
) -> Figure:
    """The share of each term in the last block's output: input, branches, changes by ReLUs."""
    figure = Figure(figsize=(max(7.0, 0.32 * len(blocks) + 3.0), 4.6), layout=layout())
    ax = figure.subplots()
    x = np.arange(1, len(blocks) + 1)
    wide = 0.4 if np.any(corrections) else 0.8
    ax.bar([0], [100 * start], 0.8, color=PALETTE[6], label="$h_0$, the input")
    shift = -0.2 if np.any(corrections) else 0.0
    branch = 100 * np.asarray(branches)
    ax.bar(x + shift, branch, wide, color=PALETTE[0], label="branch $F_l$")
    if np.any(corrections):
        relu = 100 * np.asarray(corrections)
        ax.bar(x + 0.2, relu, wide, color=PALETTE[4], label="change by the ReLU, $C_l$")
    ax.axhline(0, color=GREY, lw=1)
    step = max(1, len(blocks) // 18)
    ax.set_xticks([0, *x[::step]], ["$h_0$", *map(str, x[::step])])
    ax.set(xlabel="block", ylabel="share of $h_L$ (%)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
