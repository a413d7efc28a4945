"""What lies in folders of runs, read from what they wrote."""

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
    """One training: its metrics by split if it is `finished`, else the last step it wrote of.

    `damage` says which of its files cannot be read, and why.
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
        """Its metrics, or how it went wrong; nothing if it is not finished."""
        return self.damage or self.diverged or metrics_line(self.metrics)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one command left: an experiment of one training, or a study of several."""

    folder: Path
    config: dict[str, Any]
    trainings: tuple[Training, ...]
    conclusion: str | None
    """Of a study that is concluded."""
    state: str
    damage: str | None = None
    """Which of its own files cannot be read, and why."""

    @property
    def is_study(self) -> bool:
        """Its trainings lie in folders of their own."""
        return not (len(self.trainings) == 1 and self.trainings[0].folder == self.folder)

    def result(self) -> str:
        """What it came to, or how far it is."""
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

    One whose files are damaged is among them, with the state `damaged`.
    """
    found = [_read_or_tell(path) for path in _run_folders(folder)]
    return sorted(found, key=lambda run: run.config.get("date", ""))


def _read_or_tell(folder: Path) -> Run:
    try:
        return read_run(folder)
    except (UsageError, OSError) as error:
        damage = " ".join(str(error).split())
        return Run(folder, {}, (), None, DAMAGED, damage)


def _run_folders(folder: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    # Not into a run: what lies in there are its trainings and their checkpoints.
    try:
        if (folder / run_folder.CONFIG).exists():
            yield folder
            return
        inner = sorted(folder.iterdir()) if folder.is_dir() else []
    except PermissionError:  # reading it will say so
        yield folder
        return
    whole = folder.resolve()
    if whole not in seen:  # a link may lead back to where it stands
        for path in inner:
            if not path.name.startswith(".") and path.is_dir():
                yield from _run_folders(path, seen | {whole})


def read_run(folder: Path) -> Run:
    """The run in a folder; damaged files of a training of its are told of there.

    Raises UsageError if `config.json` or `conclusion.json` is damaged, FileNotFoundError if the first is not there.
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
    """Folders of a study's trainings, which may lie in the folders of the studies that it is made of."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "checkpoints":
            if _is_training(path):
                yield path
            else:
                yield from _trainings(path)


def _is_training(folder: Path) -> bool:
    """Also one whose metrics.jsonl was lost."""
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
