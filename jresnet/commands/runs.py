"""`runs`: the runs of a folder, with their states and results."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro
from tyro.conf import Positional

from jresnet.errors import UsageError
from jresnet.report.text import format_table
from jresnet.run.ranges import check_fields
from jresnet.run.reading import Run, find_runs


@dataclasses.dataclass(kw_only=True)
class Runs:
    folder: Positional[Path] = Path("runs")
    """A folder of runs, at any depth, or a run."""
    trainings: bool = False
    """Also each training of a study."""


def list_runs(argv: Sequence[str]) -> int:
    """The runs in a folder, oldest first: whether they are finished, running, stopped or damaged, and their results.

    `runs` looks in the folder runs/; `runs DIR --trainings` also lists the trainings of studies.

    A run that is stopped goes on with the same command, which its config.json holds.
    """
    flags = tyro.cli(Runs, args=list(argv), prog="python -m jresnet runs")
    check_fields(flags)
    if not flags.folder.is_dir():
        raise UsageError(f"folder {str(flags.folder)!r} is not there: expected a folder of runs")
    runs = find_runs(flags.folder)
    if not runs:
        raise UsageError(f"folder {str(flags.folder)!r} holds no run: no config.json in it")
    rows = [row for run in runs for row in rows_of(run, flags.folder, flags.trainings)]
    print(format_table(("run", "begun (UTC)", "state", "result"), rows))
    return 0


def rows_of(run: Run, folder: Path, trainings: bool) -> list[tuple[str, str, str, str]]:
    """A run's line, its name relative to `folder`, and if wanted those of a study's trainings."""
    name = str(run.folder.relative_to(folder)) if run.folder != folder else folder.name
    begun = run.config.get("date", "")[:16].replace("T", " ")
    rows = [(name, begun, run.state, run.result())]
    if trainings and run.is_study:
        rows += [
            (f"  {training.label}", "", training.state, training.result() or training.progress())
            for training in run.trainings
        ]
    return rows
