"""Figures of loss surfaces and of their curvature."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from mpl_toolkits.mplot3d import Axes3D

from jresnet.report.style import PALETTE, STYLE, layout, literal, log_axis

COLOURS = "viridis"  # Evenly spaced for the eye, in grey and for all kinds of colour vision.


@dataclass(frozen=True)
class Grid:
    """Values `[x, y]` over two axes, and perhaps a path of points `[n, 2]` among them."""

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray
    path: np.ndarray | None = None
    xlabel: str = "first direction"
    ylabel: str = "second direction"


@matplotlib.rc_context(STYLE)
def lines(nets: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Loss (log axis) and error (%) along a direction: net -> (position, loss, error in %)."""
    figure = Figure(figsize=(10.0, 4.4), layout=layout())
    left, right = figure.subplots(1, 2)
    for (net, (at, loss, error)), colour in zip(nets.items(), PALETTE, strict=False):
        left.plot(at, loss, color=colour, lw=2.2, label=literal(net))
        right.plot(at, error, color=colour, lw=2.2)
    log_axis(left)
    for ax in (left, right):
        ax.xaxis.set_major_locator(MaxNLocator(5))
    left.set(xlabel="first direction", ylabel="loss (nats)")
    right.set(xlabel="first direction", ylabel="error (%)", ylim=(0, None))
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@matplotlib.rc_context(STYLE)
def contours(nets: Mapping[str, Grid], label: str = "loss (nats)", shared: bool = True) -> Figure:
    """Contours side by side, by logarithm; paths are drawn on them, the last point as a star.

    With `shared` one scale for all, else one for each.
    """
    figure = Figure(figsize=(5.4 * len(nets) + 0.8, 4.9), layout=layout())
    axes = figure.subplots(1, len(nets), squeeze=False)[0]
    everything = [grid.values for grid in nets.values()]
    for ax, (net, grid) in zip(axes, nets.items(), strict=True):
        norm = _log_norm(everything if shared else [grid.values])
        _contour(ax, grid, norm)
        ax.set_title(literal(net), loc="left", fontweight="bold")
        if not shared or ax is axes[-1]:
            bar = figure.colorbar(
                ScalarMappable(norm, COLOURS), ax=axes if shared else ax, label=label
            )
            bar.ax.yaxis.set_major_formatter(_plain())
    return figure


def _contour(ax: Axes, grid: Grid, norm: LogNorm) -> None:
    ax.grid(False)
    assert norm.vmin is not None
    assert norm.vmax is not None
    levels = np.geomspace(norm.vmin, norm.vmax, 16)
    values = np.clip(np.nan_to_num(grid.values, nan=np.inf), norm.vmin, norm.vmax).T
    ax.contourf(grid.x, grid.y, values, levels, cmap=COLOURS, norm=norm)
    drawn = ax.contour(grid.x, grid.y, values, levels[1:-1:2], colors="white", linewidths=0.7)
    if grid.path is None:
        ax.clabel(drawn, fmt=lambda value: f"{float(f'{value:.1g}'):g}", fontsize=9)
    else:
        ax.plot(*grid.path.T, "o-", color="#D55E00", ms=3.5, lw=1.4)
        ax.plot(*grid.path[-1], "*", color="#D55E00", ms=15, mec="white")
    ax.set(xlabel=grid.xlabel, ylabel=grid.ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(5))


@matplotlib.rc_context(STYLE)
def surfaces(nets: Mapping[str, Grid], label: str = "loss (nats)") -> Figure:
    """Values as hills, heights by logarithm, on one scale."""
    figure = Figure(figsize=(5.6 * len(nets), 5.2))
    norm = _log_norm([grid.values for grid in nets.values()])
    assert norm.vmin is not None
    assert norm.vmax is not None
    for number, (net, grid) in enumerate(nets.items(), 1):
        ax: Any = figure.add_subplot(1, len(nets), number, projection=Axes3D.name)
        values = np.clip(np.nan_to_num(grid.values, nan=np.inf), norm.vmin, norm.vmax)
        x, y = np.meshgrid(grid.x, grid.y, indexing="ij")
        heights = np.log10(values)
        colours = matplotlib.colormaps[COLOURS](norm(values))
        ax.plot_surface(x, y, heights, facecolors=colours, rstride=1, cstride=1, lw=0, shade=False)
        ax.set_title(literal(net), loc="left", fontweight="bold")
        ax.set_xlabel(grid.xlabel, labelpad=10)
        ax.set_ylabel(grid.ylabel, labelpad=10)
        ax.set_zlabel(label)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        ax.set_zlim(math.log10(norm.vmin), math.log10(norm.vmax))
        ax.zaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.zaxis.set_major_formatter(FuncFormatter(lambda z, _: f"{10**z:g}"))
        ax.view_init(elev=35, azim=-60)
    figure.subplots_adjust(left=0.02, right=0.95, top=0.95, bottom=0.08, wspace=0.12)
    return figure


@matplotlib.rc_context(STYLE)
def heat(nets: Mapping[str, Grid], label: str) -> Figure:
    """Values written on squares of a grid, on one scale."""
    figure = Figure(figsize=(4.9 * len(nets) + 0.8, 4.6), layout=layout())
    axes = figure.subplots(1, len(nets), squeeze=False)[0]
    finite = np.concatenate([grid.values[np.isfinite(grid.values)] for grid in nets.values()])
    norm = Normalize(0, float(finite.max()) if len(finite) else 1)
    for ax, (net, grid) in zip(axes, nets.items(), strict=True):
        ax.grid(False)
        ax.pcolormesh(grid.x, grid.y, grid.values.T, cmap=COLOURS, norm=norm, shading="nearest")
        for (i, j), value in np.ndenumerate(grid.values):
            colour = "white" if norm(value) < 0.6 else "black"
            text = f"{value:.2f}" if np.isfinite(value) else "–"
            ax.text(grid.x[i], grid.y[j], text, color=colour, ha="center", va="center", fontsize=9)
        ax.set_title(literal(net), loc="left", fontweight="bold")
        ax.set(xlabel=grid.xlabel, ylabel=grid.ylabel)
    figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes, label=label)
    return figure


@matplotlib.rc_context(STYLE)
def spectra(nets: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """Densities of eigenvalues: net -> (where, density, Ritz values, which are marked below)."""
    figure = Figure(figsize=(5.2 * len(nets), 4.3), layout=layout())
    axes = figure.subplots(1, len(nets), squeeze=False)[0]
    for ax, (net, (at, density, ritz)), colour in zip(axes, nets.items(), PALETTE, strict=False):
        # A single eigenvalue of a million weighs a millionth.
        floor = density.max() * 1e-9
        ax.semilogy(at, np.where(density > floor, density, np.nan), color=colour, lw=2)
        ax.plot(ritz, np.full(len(ritz), floor), "|", color=colour, ms=12)
        ax.set_title(literal(net), loc="left", fontweight="bold")
        ax.set_xlabel("eigenvalue of the Hessian")
    axes[0].set_ylabel("density")
    return figure


@matplotlib.rc_context(STYLE)
def smoothness(nets: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Net -> (steps, change of the gradient over length of the step), a log axis."""
    figure = Figure(figsize=(7.5, 4.3), layout=layout())
    ax = figure.subplots()
    for (net, (steps, values)), colour in zip(nets.items(), PALETTE, strict=False):
        ax.plot(steps, values, "o-", color=colour, lw=2, ms=4, label=literal(net))
    log_axis(ax)
    ax.set(xlabel="iterations", ylabel="change of gradient / length of step")
    ax.legend()
    return figure


def _log_norm(values: Sequence[np.ndarray]) -> LogNorm:
    """From the lowest value to the highest finite one, seven powers of ten at most."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    high = max(float(finite.max(initial=1e-9)), 1e-9)
    low = max(float(finite.min(initial=high)), high * 1e-7)
    return LogNorm(low, max(high, low * 1.01))


def _plain() -> Callable[..., Any]:
    return FuncFormatter(lambda value, _: f"{value:g}")
