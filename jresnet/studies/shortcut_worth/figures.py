"""The figure of the study: the gain by shortcuts of each application, a row with an axis of its own."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jresnet.report.style import GREY, PALETTE, STYLE, layout, literal
from jresnet.studies.shortcut_worth.measure import Row

HEIGHT = 0.72  # inches a row
SHADE, CHANCE = 0.08, 0.35
BAR = 7  # points, of what is within chance
LEAST = 0.05  # of the metric, that an axis reaches to at least
HURT, HELP = "← plain is better", "residual is better →"


@matplotlib.rc_context(STYLE)
def gains(rows: Sequence[Row]) -> Figure:
    """Residual less plain of each application: shallow nets hollow, the deepest filled, zero a line.

    Metrics have units of their own, so each row has its own axis, as wide on either side of zero.
    Whiskers are intervals over seeds; without them a grey bar is as wide as chance makes gains. A
    pair of which one diverged has a grey cross. Tiny gains look tiny: see `LEAST`.
    """
    applications = list(dict.fromkeys(row.application for row in rows))
    figure = Figure(figsize=(10.0, 1.3 + HEIGHT * len(applications)), layout=layout())
    axes = figure.subplots(len(applications), 1, squeeze=False)[:, 0]
    for ax, application in zip(axes, applications, strict=True):
        _strip(ax, [row for row in rows if row.application is application])
    figure.legend(
        handles=[
            Line2D([], [], ls="", marker="o", mfc="white", color=PALETTE[0], label="shallow"),
            Line2D([], [], ls="", marker="o", color=PALETTE[0], label="deep"),
            Line2D([], [], ls="", marker="x", color=GREY, label="diverged"),
            Line2D([], [], color=GREY, alpha=CHANCE, lw=BAR, label="within chance"),
        ],
        loc="outside upper center",
        ncols=4,
    )
    # The middle of the axes is zero.
    axes[0].set_title(f"{HURT}   |   {HELP}", fontsize=12)
    return figure


def _strip(ax: Axes, rows: Sequence[Row]) -> None:
    ends = [end for row in rows for end in (row.gain, *(row.interval or ()))]
    ends += [LEAST * value for row in rows for value in (*row.residual, *row.plain)]
    ends += [row.chance or 0.0 for row in rows if row.interval is None]
    reach = max((abs(end) for end in ends if np.isfinite(end)), default=0.0) or 1.0
    ax.axvspan(0, 1.6 * reach, color=PALETTE[0], alpha=SHADE, lw=0)
    ax.axvline(0, color=GREY, lw=1.2)
    places = np.linspace(0.25, -0.25, len(rows)) if len(rows) > 1 else [0.0]
    for place, row in zip(places, rows, strict=True):
        deep = row is rows[-1]
        if not np.isfinite(row.gain):
            ax.plot(0, place, ls="", marker="x", color=GREY, ms=8)
            continue
        if row.interval is not None:
            ax.plot(row.interval, [place] * 2, color=PALETTE[0], lw=1.6)
        elif row.chance is not None:
            bar = {"color": GREY, "alpha": CHANCE, "lw": BAR, "solid_capstyle": "butt"}
            ax.plot((-row.chance, row.chance), [place] * 2, **bar)
        face = PALETTE[0] if deep else "white"
        ax.plot(row.gain, place, ls="", marker="o", ms=9, color=PALETTE[0], mfc=face)
    ax.set(xlim=(-1.6 * reach, 1.6 * reach), ylim=(-0.6, 0.6), yticks=[])
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="x", labelsize=9, pad=1)
    application = rows[0].application
    words = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 11}
    ax.set_ylabel(f"{literal(application.name)}\n{literal(application.unit)}", **words)
