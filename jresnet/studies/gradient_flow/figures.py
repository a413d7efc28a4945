"""Figures of the study of gradient flow."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from jresnet.experiment import Result
from jresnet.report.curves import read_metrics, series
from jresnet.report.lines import Line, bars, line_panels
from jresnet.studies.gradient_flow.measure import Findings


def norms_figure(findings: Findings) -> Figure:
    """A panel for each net: as it is and switched."""
    panels: dict[str, dict[str, Line]] = {}
    for label, profile in findings.profiles.items():
        net, _, switch = label.partition(", ")
        y = profile.inputs
        line = Line(range(1, len(y) + 1), y.tolist())
        panels.setdefault(net, {})[switch or "as it is"] = line
    return line_panels(panels, "block", "|dL/dh| (log scale)", log=True)


def split_figure(findings: Findings) -> Figure:
    """A panel for each net."""
    panels = {}
    for label, profile in findings.profiles.items():
        if profile.shortcut is None or profile.branch is None:
            continue
        x = range(1, len(profile.shortcut) + 1)
        lines = {
            "whole": profile.inputs[:-1],
            "through the shortcut": profile.shortcut,
            "through the branch": profile.branch,
        }
        panels[label] = {name: Line(x, y.tolist()) for name, y in lines.items()}
    return line_panels(panels, "block", "|dL/dh| (log scale)", log=True)


def orders_figure(findings: Findings) -> Figure:
    """Bars for each net."""
    shares = {label: (100 * values).tolist() for label, values in findings.orders.items()}
    return bars(shares, 0, "branches passed, k", "share of the gradient (%)")


def singular_figure(findings: Findings) -> Figure:
    """A panel for each net."""
    panels = {
        label: {
            "largest": Line(range(1, len(values) + 1), [value.largest for value in values]),
            "smallest": Line(range(1, len(values) + 1), [value.smallest for value in values]),
        }
        for label, values in findings.singular.items()
    }
    return line_panels(panels, "block", "singular value (log scale)", log=True)


def scaled_figure(findings: Findings) -> Figure:
    """The whole gradient, and its branch-free term."""
    whole, alone, theory = {}, {}, []
    for scale, values in findings.scaled.items():
        x = np.arange(1.0, len(values.whole) + 1)
        ratio = values.shortcut_only / values.shortcut_only[-1]
        whole[f"λ = {scale:g}"] = Line(x.tolist(), (values.whole / values.whole[-1]).tolist())
        alone[f"λ = {scale:g}"] = Line(x.tolist(), ratio.tolist())
        theory.append(np.stack([x, scale ** (len(x) - x)]))
        theory.append(np.full((2, 1), np.nan))
    x, y = np.concatenate(theory, 1)
    alone["λ^(L−l)"] = Line(x.tolist(), y.tolist(), dashed=True)
    panels = {"whole gradient": whole, "without any branch": alone}
    return line_panels(
        panels, "block", "|dL/dh$_l$| / |dL/dh$_L$| (log scale)", log=True, columns=5
    )


def training_figure(results: Mapping[str, Result]) -> Figure:
    """A panel for plain nets and one for residual ones."""
    panels: dict[str, dict[str, Line]] = {}
    for label, result in results.items():
        kind, _, switch = label.partition(", ")
        steps, values = series(read_metrics(result.folder), "test", "gradient/input1")
        panels.setdefault(kind, {})[switch] = Line(steps.tolist(), values.tolist())
    return line_panels(panels, "iterations", "|dL/dh| at the first block (log scale)", log=True)
