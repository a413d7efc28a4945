"""Figures of the study of shattered gradients."""

from matplotlib.figure import Figure

from jresnet.report.lines import Line, line_panels
from jresnet.studies.shattered_gradients.measure import LAGS, Findings

_LAGS = list(range(LAGS))


def grid_figure(findings: Findings) -> Figure:
    """A panel for each kind of net, a line for each depth; noises dashed."""
    panels = {
        kind: {
            **{f"{depth} layers": Line(_LAGS, v.tolist()) for depth, v in values.items()},
            **{name: Line(_LAGS, v.tolist(), dashed=True) for name, v in findings.noises.items()},
        }
        for kind, values in findings.grid.items()
    }
    return line_panels(panels, "lag (grid points)", "autocorrelation of df/dx", columns=6)


def images_figure(findings: Findings) -> Figure:
    """A line for each trained net."""
    lines = {label: Line(_LAGS, v.tolist()) for label, v in findings.images.items()}
    distance = f"distance (1/{findings.points - 1} of the way between two images)"
    return line_panels({"": lines}, distance, "cosine of gradients")
