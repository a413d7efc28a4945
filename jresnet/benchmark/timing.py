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


def able(contestants: Mapping[str, Contestant]) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Those that can compute a step, and of the others the first line of the device's error.

    A peer that does not fit in memory must not take the others' numbers with it.
    """
    ready, lost = {}, {}
    for name, contestant in contestants.items():
        try:
            contestant.run(1)
        except RuntimeError as error:  # of jax and of torch, where memory ends
            lost[name] = first_line(error)
        else:
            ready[name] = contestant
    return ready, lost


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of its message, shortened."""
    message = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {message[:200]}"


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
