"""The trainings of a sweep over learning rates and depths, and their errors."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from jresnet.experiment import Result

Kind = Literal["plain", "residual"]
KINDS: tuple[Kind, ...] = ("plain", "residual")
SPLITS = ("train", "test")


class Cell(NamedTuple):
    """The trainings of a kind of net with a depth and a rate, one for each seed."""

    kind: Kind
    depth: int
    rate: float

    def label(self, seed: int) -> str:
        """The run's name."""
        return f"{self.kind}-{self.depth}-rate{self.rate}-seed{seed}"


Errors = Mapping[Cell, Mapping[str, Sequence[float]]]  # per cent by split, one of each seed


def error(result: Result, split: str, guessing: float) -> float:
    """The error in per cent; the error of guessing for a training that diverged."""
    return 100 * (guessing if result.diverged else result.metrics[split]["error"])
