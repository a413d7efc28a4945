"""Runs and their trainings, read from their folders."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jresnet.errors import UsageError
from jresnet.report.curves import read_metrics, read_timing
from jresnet.report.text import metrics_line
from jresnet.run import folder as run_folder

FINISHED, RUNNING, STOPPED, DAMAGED = "finished", "running", "stopped", "damaged"


@dataclasses.dataclass(frozen=True)
class Training:
    """One training.

    - state: one of `finished`, `running`, `stopped` and `damaged`.
    - step: the last step in its records.
    - metrics: by split, if it is finished.
    - diverged: how its loss became infinite, if it did.
    - damage: the file that cannot be read, and why.
    """

    label: str
    folder: Path
    state: str
    step: int
    steps: int | None
    metrics: dict[str, dict[str, float]]
    diverged: str | None = None
    damage: str | None = None

    def progress(self) -> str:
        """`step 120 of 400`."""
        return f"step {self.step:,}" + (f" of {self.steps:,}" if self.steps else "")

    def result(self) -> str:
        """Its metrics or its fault; empty if it is not finished."""
        return self.damage or self.diverged or metrics_line(self.metrics)


@dataclasses.dataclass(frozen=True)
class Run:
    """The run of one command: an experiment with one training, or a study with several."""

    folder: Path
    config: dict[str, Any]
    trainings: tuple[Training, ...]
    conclusion: str | None
    """The closing line of a concluded study."""
    state: str
    damage: str | None = None
    """The file of the run that cannot be read, and why."""

    @property
    def is_study(self) -> bool:
        """Whether its trainings have their own folders."""
        return not (len(self.trainings) == 1 and self.trainings[0].folder == self.folder)

    def result(self) -> str:
        """Its closing line or its progress."""
        if self.damage is not None:
            return self.damage
        if self.conclusion is not None:
            return self.conclusion
        if not self.trainings:
            return "nothing trained yet"
        *done, last = sorted(self.trainings, key=lambda training: training.state == self.state)
        if not self.is_study:
            return last.result() or last.progress()
        finished = sum(training.state == FINISHED for training in self.trainings)
        broken = [training for training in self.trainings if training.state == DAMAGED]
        if broken:
            return f"{finished} of {len(done) + 1} trainings are finished; {broken[0].damage}"
        current = "" if last.state == FINISHED else f"; {last.label} at {last.progress()}"
        return f"{finished} of {len(done) + 1} trainings begun are finished{current}"


def find_runs(folder: Path) -> list[Run]:
    """The run in `folder`, or those in it and in its subfolders, oldest first.

    A run with damaged files is among them, with the state `damaged`.
    """
    runs = [_read_or_tell(path) for path in _run_folders(folder)]
    return sorted(runs, key=lambda run: run.config.get("date", ""))


def _read_or_tell(folder: Path) -> Run:
    try:
        return read_run(folder)
    except (UsageError, OSError) as error:
        damage = " ".join(str(error).split())
        return Run(folder, {}, (), None, DAMAGED, damage)


def _run_folders(folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    # Folders of runs are not searched: they hold trainings and checkpoints.
    try:
        if (folder / run_folder.CONFIG).exists():
            yield folder
            return
        inner = sorted(folder.iterdir()) if folder.is_dir() else []
    except PermissionError:  # reading it will say so
        yield folder
        return
    whole = folder.resolve()
    if whole not in seen:  # a link may lead back to a folder above it
        for path in inner:
            if not path.name.startswith(".") and path.is_dir():
                yield from _run_folders(path, seen | {whole})


def read_run(folder: Path) -> Run:
    """The run in a folder. Damaged files of a training are reported in that training.

    Raises UsageError if `config.json` or `conclusion.json` is damaged, FileNotFoundError if the
    first is not there.
    """
    config = run_folder.read_config(folder / run_folder.CONFIG)
    unfinished = RUNNING if run_folder.is_held(folder) else STOPPED
    if _is_training(folder):
        training = read_training(folder, unfinished)
        return Run(folder, config, (training,), None, training.state)
    trainings = tuple(
        dataclasses.replace(read_training(path, unfinished), label=str(path.relative_to(folder)))
        for path in sorted(_trainings(folder), key=_last_logged)
    )
    path = folder / run_folder.CONCLUSION
    conclusion = run_folder.read_conclusion(path) if path.exists() else None
    done = conclusion is not None and unfinished == STOPPED
    return Run(folder, config, trainings, conclusion, FINISHED if done else unfinished)


def _trainings(folder: Path) -> Iterator[Path]:
    """Folders of a study's trainings; they may be inside the folders of inner studies."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "checkpoints":
            if _is_training(path):
                yield path
            else:
                yield from _trainings(path)


def _is_training(folder: Path) -> bool:
    """Whether a folder is a training's, even if its metrics.jsonl was lost."""
    names = ("metrics.jsonl", run_folder.RESULT, "checkpoints")
    return any((folder / name).exists() for name in names)


def _last_logged(folder: Path) -> float:
    path = folder / "metrics.jsonl"
    return path.stat().st_mtime if path.exists() else 0.0


def without_damage(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The trainings that can be read, by run, and a line on each run and training that cannot."""
    lines = [run.damage for run in runs if run.damage is not None]
    whole = []
    for run in runs:
        lines += [training.damage for training in run.trainings if training.damage is not None]
        if readable := tuple(t for t in run.trainings if t.damage is None):
            whole.append(dataclasses.replace(run, trainings=readable))
    return whole, lines


def read_training(folder: Path, unfinished: str = STOPPED) -> Training:
    """The training in a folder; `unfinished` is the state it has without a result."""
    path = folder / run_folder.RESULT
    try:
        result = run_folder.read_result(path) if path.exists() else {}
        records = read_metrics(folder)
    except (UsageError, OSError) as error:
        damage = " ".join(str(error).split())
        return Training(folder.name, folder, DAMAGED, 0, None, {}, damage=damage)
    steps = [record["steps"] for record in read_timing(folder) if "steps" in record]
    return Training(
        folder.name,
        folder,
        FINISHED if result else unfinished,
        max((record["step"] for record in records), default=0),
        steps[-1] if steps else None,
        result.get("metrics", {}),
        result.get("diverged"),
    )
