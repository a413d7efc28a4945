"""Learning curves of agents against frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jresnet.experiment import Result
from jresnet.report.curves import read_metrics
from jresnet.report.lines import Line, line_panels

POINTS = 25  # of a curve at most: each is a mean over what was logged since the one before

DRAWS = 1000  # of a bootstrap


def return_curves(nets: Mapping[str, Sequence[Result]], facts: Any) -> Any:
    """Returns of training, by sampling, against frames: means over runs, with bands where several.

    `facts` has the `game` and the `frames` of a training.
    """
    logged = min(len(_training(run)) for runs in nets.values() for run in runs)
    points = min(POINTS, logged)  # more would leave gaps
    curves = {net: np.stack([curve(run, points) for run in runs]) for net, runs in nets.items()}
    frames = facts.frames * np.arange(1, points + 1) / points
    lines = {net: Line(frames, values.mean(0)) for net, values in curves.items()}
    figure = line_panels({facts.game: lines}, "frames", "return in training")
    ax = figure.axes[0]
    for line, values in zip(ax.get_lines(), curves.values(), strict=True):
        if len(values) > 1:
            ax.fill_between(frames, *band(values), color=line.get_color(), alpha=0.2, lw=0)
    ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k" if x < 1e6 else f"{x / 1e6:g}M")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    return figure


def band(values: np.ndarray, draws: int = DRAWS) -> tuple[np.ndarray, np.ndarray]:
    """The middle 95 % of the mean curves of runs drawn with replacement, `[points]` each.

    `values` are `[runs, points]`. Whole runs are drawn, as their points belong together.
    """
    runs = len(values)
    drawn = np.random.default_rng(0).integers(runs, size=(draws, runs))
    low, high = np.percentile(values[drawn].mean(1), (2.5, 97.5), 0)
    return low, high


def curve(result: Result, points: int = POINTS) -> np.ndarray:
    """The returns of a run `[points]`; NaN where no episode ended."""
    records = _training(result)
    last = records[-1]["step"]
    values: list[list[float]] = [[] for _ in range(points)]
    for each in records:
        if "sampled_return" in each:
            values[min(points - 1, int(points * each["step"] / (last + 1)))].append(
                each["sampled_return"]
            )
    return np.array([np.mean(each) if each else np.nan for each in values])


def _training(result: Result) -> list[dict[str, Any]]:
    """The records of a run's training."""
    return [each for each in read_metrics(result.folder) if each["split"] == "train"]
