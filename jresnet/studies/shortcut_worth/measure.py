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
    def chance(self) -> float | None:
        """The gain that 95 % of pairs of equally good nets stay below, by their test examples alone.

        The normal interval of the difference of two shares. Seeds add to it, so that it is the least
        that chance makes. None where the metric is no share of examples, or a training diverged.
        """
        if not self.application.tested or not math.isfinite(self.gain):
            return None
        shares = (self.residual.mean() + self.plain.mean()) / 2 / self.application.scale
        error = math.sqrt(2 * shares * (1 - shares) / self.application.tested)
        return float(stats.norm.ppf(0.975)) * error * self.application.scale

    @property
    def verdict(self) -> str:
        """Whether shortcuts help, as far as the seeds tell; of one seed, which net was ahead."""
        if not math.isfinite(self.gain):
            return "one diverged"
        if self.interval is None:
            if self.gain == 0:
                return "equal"
            if abs(self.gain) < (self.chance or 0.0):
                return "within chance"
            return "ahead" if self.gain > 0 else "behind"
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "not told apart"


def decimals(values: Sequence[float]) -> int:
    """Places after the point for values side by side: four digits of the largest, at most 4 places."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 2 if largest == 0 else min(4, max(0, 3 - math.floor(math.log10(largest))))


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
