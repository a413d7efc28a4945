"""The figure of a single run."""

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jresnet.report.curves import Record, default_window, running_mean, series
from jresnet.report.style import (
    GREY,
    PALETTE,
    STYLE,
    iterations_axis,
    layout,
    linear_axis,
    log_axis,
    training_label,
)


@matplotlib.rc_context(STYLE)
def run_curves(records: Sequence[Record], *, window: int | None = None) -> Figure:
    """One run: loss on a log scale, error in per cent, and the learning rate in a thin panel below.

    Training values are drawn as recorded (faint) and as a running mean; test values as they are.

    Args:
      records: what `read_metrics` returned.
      window: iterations of the running mean; 1 for none, None for `curves.default_window`.

    Returns:
      A figure of stacked axes with a common x axis; error and learning rate are left out if not recorded.

    Raises:
      ValueError: no loss was recorded.
    """
    keys = {key for record in records for key in record}
    if "loss" not in keys:
        raise ValueError("records: expected at least one with a loss, got none")
    if window is None:
        window = default_window([records], "loss")
    heights = {"loss": 3.0, "error": 3.0, "learning_rate": 1.0}
    heights = {key: height for key, height in heights.items() if key in keys}

    figure = Figure(figsize=(9.0, 1.2 + 0.75 * sum(heights.values())), layout=layout())
    grid = figure.subplots(
        len(heights),
        1,
        sharex=True,
        squeeze=False,
        height_ratios=list(heights.values()),
    )
    axes = dict(zip(heights, grid[:, 0], strict=True))
    _draw_run(axes["loss"], records, "loss", 1.0, window)
    axes["loss"].set(ylabel="loss (log scale)")
    log_axis(axes["loss"])
    figure.legend(*axes["loss"].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    if "error" in axes:
        _draw_run(axes["error"], records, "error", 100.0, window)
        axes["error"].set(ylabel="error (%)")
        linear_axis(axes["error"])
        axes["error"].set_ylim(bottom=0)
    if "learning_rate" in axes:
        axes["learning_rate"].plot(*series(records, "train", "learning_rate"), color=GREY, lw=1.8)
        axes["learning_rate"].set(ylabel="learning\nrate")
        axes["learning_rate"].set_ylim(bottom=0)
    axes["loss"].set_xlim(0, max(1, *(record["step"] for record in records)))
    iterations_axis(grid[-1, 0])
    figure.align_ylabels()
    return figure


def _draw_run(ax: Axes, records: Sequence[Record], key: str, scale: float, window: int) -> None:
    steps, values = series(records, "train", key)
    if len(steps) and window > 1:
        ax.plot(
            steps,
            values * scale,
            color=PALETTE[0],
            lw=0.8,
            alpha=0.35,
            label="training",
        )
        values = running_mean(steps, values, window)
    if len(steps):
        ax.plot(
            steps,
            values * scale,
            color=PALETTE[0],
            lw=1.8,
            label=training_label(window),
        )
    steps, values = series(records, "test", key)
    # Dots show how seldom it was measured; so many that they touch would only thicken the line.
    marker = "o" if len(steps) <= 30 else ""
    if len(steps):
        ax.plot(
            steps,
            values * scale,
            color=PALETTE[1],
            lw=2.2,
            marker=marker,
            ms=4.5,
            label="test",
        )
