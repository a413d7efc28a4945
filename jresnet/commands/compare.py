"""`compare`: the curves and results of several runs on one page."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro
from tyro.conf import Positional

from jresnet.commands.outfile import check_new
from jresnet.errors import UsageError
from jresnet.run.comparison import write_comparison
from jresnet.run.folder import CONFIG
from jresnet.run.ranges import check_fields
from jresnet.run.reading import Run, find_runs, read_run, read_training, without_damage
from jresnet.text import shown


@dataclasses.dataclass(kw_only=True)
class Compare:
    runs: Positional[tuple[Path, ...]]
    """Folders of runs, of studies, or of single trainings of a study."""
    out: Path = Path("comparison.html")
    """The page to write; must not exist."""


def compare(argv: Sequence[str]) -> int:
    """Curves of several runs on one page, with their results and where their arguments differ.

    `compare runs/cifar10-depth=20 runs/cifar10-depth=56 --out depths.html`

    Of a study all trainings are drawn. Runs need not be finished. Damaged ones are named and left out.
    """
    flags = tyro.cli(Compare, args=list(argv), prog="python -m jresnet compare")
    check_fields(flags)
    if not flags.runs:
        raise UsageError("runs=(): expected at least one folder of a run")
    check_new("out", flags.out, (".html",))
    runs, damaged = without_damage([run for folder in flags.runs for run in runs_in(folder)])
    if not runs:
        raise UsageError(damaged[0])
    for line in damaged:
        print(f"left out: {shown(line)}", file=sys.stderr)
    print(f"see {shown(write_comparison(flags.out, runs))}")
    return 0


def runs_in(folder: Path) -> list[Run]:
    """The runs in a folder, or the one training of a study that it is. Raises UsageError if none is there."""
    study = folder.parent
    part = (folder / "metrics.jsonl").exists() and not (folder / CONFIG).exists()
    if part and (study / CONFIG).exists():
        run = read_run(study)
        return [dataclasses.replace(run, trainings=(read_training(folder, run.state),))]
    runs = [run for run in find_runs(folder) if run.trainings or run.damage]
    if not runs:
        raise UsageError(f"runs {str(folder)!r} holds no run that has begun to train")
    return runs
