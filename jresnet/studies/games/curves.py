"""Learning curves of agents against frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jresnet.experiment import Result
from jresnet.report.curves import read_metrics
from jresnet.report.lines import Line, line_panels

POINTS = 25  # of a curve: each is a mean over what was logged since the one before


def return_curves(nets: Mapping[str, Sequence[Result]], facts: Any) -> Any:
    """Returns of training, by sampling, against frames: mean over runs, a band from lowest to highest.

    `facts` has the `game` and the `frames` of a training.
    """
    curves = {net: np.stack([curve(run) for run in runs]) for net, runs in nets.items()}
    frames = facts.frames * np.arange(1, POINTS + 1) / POINTS
    lines = {net: Line(frames, values.mean(0)) for net, values in curves.items()}
    figure = line_panels({facts.game: lines}, "frames", "return in training")
    ax = figure.axes[0]
    for line, values in zip(ax.get_lines(), curves.values(), strict=True):
        if len(values) > 1:
            ax.fill_between(frames, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, lw=0)  # fmt: skip
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x < 1e6 else f"{x / 1e6:g}M")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    return figure


def curve(result: Result) -> np.ndarray:
    """The returns of a run `[POINTS]`; NaN where no episode ended."""
    records = [each for each in read_metrics(result.folder) if each["split"] == "train"]
    last = records[-1]["step"]
    values: list[list[float]] = [[] for _ in range(POINTS)]
    for each in records:
        if "sampled_return" in each:
            values[min(POINTS - 1, int(POINTS * each["step"] / (last + 1)))].append(
                each["sampled_return"]
            )
    return np.array([np.mean(each) if each else np.nan for each in values])
