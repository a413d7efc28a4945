"""Figures of detectors: precision against recall, sensitivity against false positives."""

from collections.abc import Mapping
from typing import Protocol

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from jresnet.report.style import STYLE, assign_colours, layout, literal

MOST = 12  # classes that are drawn: the eye follows no more
_DASHES = ("-", "--", "-.", ":")  # for those who see no colours, and for more classes than colours


@matplotlib.rc_context(STYLE)
def precision_recall(curves: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Precision against recall, a line a class, best first, named with its mean.

    Of more than twelve classes the six best and the six worst are drawn, and the mean of all.

    Args:
        curves: precision at evenly spaced recalls from 0 to 1, `[recalls]`, by class.
        title: above the figure.

    Raises ValueError without any class.
    """
    if not curves:
        raise ValueError("curves: expected at least one class")
    names = sorted(curves, key=lambda name: -float(np.mean(curves[name])))
    drawn = names if len(names) <= MOST else [*names[: MOST // 2], *names[-MOST // 2 :]]
    colours = assign_colours(drawn, str)
    figure = Figure(figsize=(8.0, 4.8), layout=layout())
    ax = figure.subplots()
    for number, name in enumerate(drawn):
        precision = np.asarray(curves[name], float)
        recall = np.linspace(0, 1, len(precision))
        label = f"{literal(name)}  {precision.mean():.2f}"
        dash = _DASHES[number % len(_DASHES)]
        ax.plot(recall, precision, color=colours[name], ls=dash, lw=2, label=label)
    if len(names) > 1:
        mean = np.mean([curves[name] for name in names], 0)
        label = f"mean of {len(names)} classes  {mean.mean():.2f}"
        ax.plot(np.linspace(0, 1, len(mean)), mean, color="black", lw=3, label=label)
    ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.03))
    ax.set_title(literal(title), loc="left", fontweight="bold")
    cut = (
        "mean precision" if len(drawn) == len(names) else "mean precision,\nbest and worst classes"
    )
    figure.legend(loc="outside right upper", title=cut)
    return figure


class Sensitivity(Protocol):
    """A curve of free-response ROC, such as `tasks.froc.FrocCurve`."""

    @property
    def marks(self) -> np.ndarray:
        """False positives an image, `[n]`."""
        ...

    @property
    def at(self) -> np.ndarray:
        """Sensitivities at the marks, `[n]`."""
        ...

    @property
    def low(self) -> np.ndarray:
        """Lower ends of their intervals, `[n]`, nan for none."""
        ...

    @property
    def high(self) -> np.ndarray:
        """Upper ends."""
        ...

    @property
    def score(self) -> float:
        """The mean of the sensitivities."""
        ...


@matplotlib.rc_context(STYLE)
def froc_figure(curves: Mapping[str, Sensitivity]) -> Figure:
    """Sensitivity against false positives an image, on a log axis, with intervals as bands.

    Args:
        curves: by the name of the net.

    Raises ValueError without any curve.
    """
    if not curves:
        raise ValueError("curves: expected at least one")
    figure = Figure(figsize=(8.0, 4.8), layout=layout())
    ax = figure.subplots()
    colours = assign_colours(curves, str)
    for number, (name, curve) in enumerate(curves.items()):
        label = f"{literal(name)}  {curve.score:.2f}"
        dash = _DASHES[number % len(_DASHES)]
        ax.plot(
            curve.marks, curve.at, color=colours[name], ls=dash, lw=2.2, marker="o", label=label
        )
        if np.isfinite(curve.low).all():
            ax.fill_between(
                curve.marks, curve.low, curve.high, color=colours[name], alpha=0.15, lw=0
            )
    ax.set_xscale("log", base=2)
    marks = sorted({mark for curve in curves.values() for mark in curve.marks.tolist()})
    ax.set_xticks(marks, [f"1/{1 / mark:g}" if mark < 1 else f"{mark:g}" for mark in marks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="false positives an image", ylabel="sensitivity", ylim=(0, 1.03))
    figure.legend(loc="outside right upper", title="mean sensitivity")
    return figure
