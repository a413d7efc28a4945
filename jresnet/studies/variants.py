"""Trainings of nets that differ in one respect, by one recipe, and their errors."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result
from jresnet.models.heads import Classifier
from jresnet.recipes import he2015
from jresnet.report import csv_file
from jresnet.report.run import rates


class Row(NamedTuple):
    """A variant's errors in per cent, medians over seeds, and its cost."""

    name: str
    parameters: int
    train: float
    test: float
    lowest: float
    highest: float
    step_ms: float  # without compilation, evaluation and waiting for input; nan if too short

    def test_cell(self) -> str:
        """The test error, with its range where there are several seeds."""
        spread = (self.lowest, self.highest)
        ends = f" ({spread[0]:.2f} to {spread[1]:.2f})" if spread[0] < spread[1] else ""
        return f"{self.test:.2f}{ends}"


def slug(name: str) -> str:
    """A name in letters that suit a folder."""
    return "-".join("".join(c if c.isalnum() or c in ".=" else " " for c in name).split())


def trainings(
    nets: Mapping[str, Classifier],
    data: ImageData,
    steps: int,
    seeds: int,
    learning_rate: float,
) -> dict[str, Experiment]:
    """Each of `nets` by the recipe of He et al. 2015, `seeds` times."""
    return {
        f"{slug(name)}-seed{seed}": he2015(
            net, dataclasses.replace(data, seed=seed), steps, seed, learning_rate
        )
        for name, net in nets.items()
        for seed in range(seeds)
    }


def measured(names: Iterable[str], results: Mapping[str, Result], batch_size: int) -> list[Row]:
    """One row for each name, in the same order."""
    rows = []
    for name in names:
        runs = [run for label, run in results.items() if label.rsplit("-seed", 1)[0] == slug(name)]
        train, test = ([100 * run.metrics[s]["error"] for run in runs] for s in ("train", "test"))
        images = [rate for run in runs for rate in rates(run.folder)]
        rows.append(
            Row(
                name,
                runs[0].parameters,
                statistics.median(train),
                statistics.median(test),
                min(test),
                max(test),
                1000 * batch_size / statistics.median(images) if images else float("nan"),
            )
        )
    return rows


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write all fields of the rows, under their names."""
    csv_file.write_csv(path, Row._fields, rows)
