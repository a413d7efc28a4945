"""Timing side by side: contestants take turns, so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

OURS = "jresnet"


class Contestant(NamedTuple):
    """`run(n)` makes n steps and returns when the last is done.

    `compile_seconds` is what came before the first, and `peak_bytes` what a step holds at most,
    None where that is not known.
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
    """Each contestant `repeats` times for about `seconds`, one after the other, each round begun by
    another one.

    The first two steps of each are not counted.
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
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            found[name].append(timed(name, steps[name]))
    return {
        name: Timing(statistics.median(values), min(values), max(values))
        for name, values in found.items()
    }
