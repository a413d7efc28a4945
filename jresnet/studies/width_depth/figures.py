"""The figure of width and depth."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from jresnet.report.style import PALETTE, STYLE, layout, literal


@matplotlib.rc_context(STYLE)
def cost_against_error(
    names: Sequence[str],
    costs: Sequence[float],
    errors: Sequence[float],
    parameters: Sequence[int],
    xlabel: str,
) -> Figure:
    """Test error in per cent against cost; the area of a dot is the net's number of parameters."""
    figure = Figure(figsize=(8.0, 4.6), layout=layout())
    ax = figure.subplots()
    areas = 60 + 500 * np.array(parameters) / max(parameters)
    ax.scatter(costs, errors, s=areas, color=PALETTE[0], alpha=0.75, lw=0)
    for name, cost, error in zip(names, costs, errors, strict=True):
        ax.annotate(literal(name), (cost, error), (14, 8), textcoords="offset points")
    ax.set(xlabel=xlabel, ylabel="test error (%)", ylim=(0, 1.3 * max(*errors, 1e-9)))
    finite = [cost for cost in costs if np.isfinite(cost)]
    ax.set_xlim(0, 1.2 * max(finite, default=1.0))
    return figure
