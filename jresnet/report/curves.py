"""Reading what a run wrote: metrics.jsonl to arrays, one run or several seeds."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.errors import UsageError

Record = dict[str, Any]


def read_metrics(run_folder: str | PathLike[str]) -> list[Record]:
    """Reads `metrics.jsonl` of a run, one dictionary a line, in the order they were written.

    Args:
      run_folder: the folder of the run, `runs/<name>`.

    Returns:
      The records, e.g. `{"step": 40, "split": "train", "loss": 1.23, "error": 0.31}`. A last line that a
      killed run left unfinished is dropped.

    Raises:
      FileNotFoundError: there is no `metrics.jsonl` in the folder.
      UsageError: a finished line is not a record, see `parse_record`; names the file and the line.
    """
    path = Path(run_folder) / "metrics.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    # What follows the last newline is empty, or a line that was being written when the run was killed.
    unfinished = lines.pop()
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = parse_record(line)
        if record is None:
            raise UsageError(
                f"{path}, line {number}: expected a JSON object with an integer step and numbers, "
                f"got {line[:80]!r}"
            )
        records.append(record)
    if (last := parse_record(unfinished)) is not None:
        records.append(last)
    return records


def read_timing(run_folder: str | PathLike[str]) -> list[Record]:
    """Reads `timing.jsonl` of a run: how fast it went, and notes. No result depends on it.

    Args:
      run_folder: the folder of the run, `runs/<name>`.

    Returns:
      The records, without lines that are damaged or unfinished; empty without the file.
    """
    path = Path(run_folder) / "timing.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    return [record for record in map(parse_record, lines) if record]


def parse_record(line: bytes) -> Record | None:
    """A line as a JSON object with an integer step, texts as split and note, and numbers; else None."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, a number too long, too deep
        return None
    if not isinstance(record, dict) or not 0 <= _integer(record.get("step")) < 2**63:
        return None
    fits = all(
        isinstance(value, str) if key in ("split", "note") else _is_number(value)
        for key, value in record.items()
    )
    return record if fits else None


def _integer(value: object) -> int:
    """The value if it is an integer, else -1."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def series(records: Sequence[Record], split: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """One metric of one split against the step.

    Args:
      records: what `read_metrics` returned.
      split: "train", "test", ...
      key: the metric, e.g. "error".

    Returns:
      Steps int64 `[n]`, strictly increasing, and values float64 `[n]`; both empty when nothing of that name was
      recorded. A run that was killed and resumed writes the steps after its checkpoint twice: the later counts.
    """
    by_step = {
        record["step"]: record[key]
        for record in records
        if record.get("split") == split and key in record
    }
    steps = sorted(by_step)
    return np.array(steps, np.int64), np.array([by_step[step] for step in steps], np.float64)


def running_mean(steps: np.ndarray, values: np.ndarray, window: int) -> np.ndarray:
    """Mean of the values recorded in the last `window` iterations, at every recorded step.

    The window looks back only, so that no curve falls before the learning rate does; the first points average
    what there is.

    Args:
      steps: int `[n]`, increasing.
      values: `[n]`.
      window: length in iterations, not in records; the value at step s averages steps in (s - window, s].

    Returns:
      float64 `[n]`.

    Raises:
      ValueError: the window is shorter than one iteration.
    """
    if window < 1:
        raise ValueError(f"window: expected at least 1 iteration, got {window}")
    first = np.searchsorted(steps, steps - window, side="right")
    # A loop and not a cumulative sum: one NaN must spoil one window, not everything after it.
    return np.array([values[a : i + 1].mean() for i, a in enumerate(first)], np.float64)


def default_window(runs: Sequence[Sequence[Record]], key: str) -> int:
    """A window that calms a training curve without hiding when it fell.

    Args:
      runs: the records of one or more runs.
      key: the metric of the split "train" that is to be smoothed.

    Returns:
      Iterations, a round number: a fiftieth of the longest run, but four records where those are farther apart.
      1 (no smoothing) where there are fewer than forty records, since each then counts.
    """
    curves = [series(records, "train", key)[0] for records in runs]
    steps = max(curves, key=lambda steps: steps[-1] if len(steps) else -1)
    if len(steps) < 40:
        return 1
    window = max(4, round(steps[-1] * max(1 / 50, 4 / len(steps))))
    digit = 10 ** (len(str(window)) - 1)
    return window // digit * digit


@dataclass(frozen=True)
class Band:
    """A curve over several seeds: `steps`, and `mean`, `low`, `high` (the extremes over the seeds), each `[n]`."""

    steps: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def scaled(self, factor: float) -> "Band":
        """The same curve in another unit; `factor` is positive."""
        return Band(self.steps, self.mean * factor, self.low * factor, self.high * factor)


def across_seeds(runs: Sequence[Sequence[Record]], split: str, key: str, window: int = 1) -> Band:
    """Mean and extremes of one metric over runs that differ in their seed.

    Args:
      runs: the records of each seed; one seed is a band of no width.
      split: "train", "test", ...
      key: the metric.
      window: iterations of the running mean applied to each seed before they are compared; 1 for none.

    Returns:
      The band at the steps that every seed recorded; empty when no seed recorded the metric.

    Raises:
      ValueError: no runs, or the seeds recorded the metric but share no step.
    """
    if not runs:
        raise ValueError("runs: expected the records of at least one seed, got none")
    curves = [series(records, split, key) for records in runs]
    common = functools.reduce(np.intersect1d, [steps for steps, _ in curves])
    if not len(common) and any(len(steps) for steps, _ in curves):
        raise ValueError(f"{split} {key}: the {len(runs)} seeds have no step in common")
    values = np.stack(
        [
            running_mean(steps, values, window)[np.searchsorted(steps, common)]
            for steps, values in curves
        ]
    )
    return Band(common, values.mean(0), values.min(0), values.max(0))
