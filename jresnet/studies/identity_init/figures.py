"""Figures of the study of identity initialisation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jresnet.experiment import Result
from jresnet.report.curves import read_metrics
from jresnet.report.figures import training_curves
from jresnet.report.lines import Line, line_panels

TOP = 6.0  # nats: a net that nearly diverged must not take the axis of the others with it


def start_figure(sizes: Mapping[str, np.ndarray]) -> Figure:
    """A panel for each depth, a line for each scheme; `sizes` by scheme-depth."""
    panels: dict[str, dict[str, Line]] = {}
    for label, values in sizes.items():
        scheme, depth = label.rsplit("-", 1)
        line = Line(range(1, len(values) + 1), values.tolist())
        panels.setdefault(f"{depth} layers", {})[scheme] = line
    return line_panels(panels, "block", "rms of the block's output (log scale)", log=True)


def curves_figure(results: Mapping[str, Result]) -> Figure:
    """The losses of the trainings that stayed finite, a panel for each depth."""
    panels: dict[str, dict[str, Any]] = {}
    for label, result in results.items():
        scheme, depth = label.rsplit("-", 1)
        if not result.diverged:
            panels.setdefault(f"{depth} layers", {})[scheme] = [read_metrics(result.folder)]
    return training_curves(panels, key="loss", ylabel="loss (nats)", scale=1.0, y_max=TOP)
