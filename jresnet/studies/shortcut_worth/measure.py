"""Differences between residual nets and their plain twins."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from jresnet.experiment import Result
from jresnet.studies.shortcut_worth.application import Application, Case


class Row(NamedTuple):
    """An application at one depth.

    - blocks: of each stage.
    - residual, plain: the metric by seed, NaN for a training that diverged.
    - gains: residual less plain by seed, positive where shortcuts help.
    - seconds: of all trainings.
    """

    application: Application
    blocks: int
    residual: np.ndarray
    plain: np.ndarray
    gains: np.ndarray
    seconds: float

    @property
    def gain(self) -> float:
        """The mean gain over seeds; NaN where a training diverged."""
        return float(self.gains.mean())

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean gain, by Student's t over seeds; None for fewer than two.

        Seeds are paired: a net and its twin see the same examples in the same order.
        """
        if len(self.gains) < 2 or not np.isfinite(self.gains).all():
            return None
        error = self.gains.std(ddof=1) / math.sqrt(len(self.gains))
        half = float(stats.t.ppf(0.975, len(self.gains) - 1)) * error
        return self.gain - half, self.gain + half

    @property
    def verdict(self) -> str:
        """Whether shortcuts help, as far as the seeds tell."""
        if not math.isfinite(self.gain):
            return "one diverged"
        if self.interval is None:
            return "better" if self.gain > 0 else "worse" if self.gain < 0 else "equal"
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def rows_of(
    chosen: Mapping[Application, Sequence[Case]], results: Mapping[str, Result]
) -> list[Row]:
    """A row for each application and depth, in their order."""
    rows = []
    for application, each in chosen.items():
        for blocks in dict.fromkeys(case.blocks for case in each):
            pairs = [
                [
                    results[f"{application.name}/{case.label}"]
                    for case in each
                    if case.blocks == blocks and case.residual is residual
                ]
                for residual in (True, False)
            ]
            residual, plain = (np.array([application.value(r) for r in kind]) for kind in pairs)
            gains = np.array(list(map(application.gain, residual, plain)))
            seconds = sum(result.seconds for kind in pairs for result in kind)
            rows.append(Row(application, blocks, residual, plain, gains, seconds))
    return rows
