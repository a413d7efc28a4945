"""Timing side by side: contestants take turns, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

Mode = Literal["train", "infer"]
MODES: tuple[Mode, ...] = ("train", "infer")
OURS = "jresnet"


class Contestant(NamedTuple):
    """Something to be timed.

    - run: `run(n)` computes n steps and returns when the last is done.
    - compile_seconds: time before the first step.
    - peak_bytes: peak memory of a step; None if it is not known.
    """

    run: Callable[[int], object]
    compile_seconds: float
    peak_bytes: int | None


class Timing(NamedTuple):
    """Seconds a step over the repeats."""

    median: float
    low: float
    high: float


def interleaved(
    contestants: Mapping[str, Contestant],
    repeats: int,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time each contestant `repeats` times for about `seconds`, in turns.

    Each round begins with another contestant. The first two steps of each are not counted.
    """

    def timed(name: str, steps: int) -> float:
        start = clock()
        contestants[name].run(steps)
        return (clock() - start) / steps

    names = list(contestants)
    steps = {}
    for name in names:
        timed(name, 1)
        steps[name] = max(1, round(seconds / max(timed(name, 1), 1e-9)))
    measured: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            measured[name].append(timed(name, steps[name]))
    return {
        name: Timing(statistics.median(values), min(values), max(values))
        for name, values in measured.items()
    }
