"""What lies in folders of runs, read from what they wrote."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jresnet import run_folder
from jresnet.report.curves import parse_record, read_metrics
from jresnet.report.text import metrics_line

FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"


@dataclasses.dataclass(frozen=True)
class Training:
    """One training: its metrics by split if it is `finished`, else the last step it wrote of."""

    label: str
    folder: Path
    state: str
    step: int
    steps: int | None
    metrics: dict[str, dict[str, float]]
    diverged: str | None = None

    def progress(self) -> str:
        """`step 120 of 400`."""
        return f"step {self.step:,}" + (f" of {self.steps:,}" if self.steps else "")

    def result(self) -> str:
        """Its metrics, or how it went wrong; nothing if it is not finished."""
        return self.diverged or metrics_line(self.metrics)


@dataclasses.dataclass(frozen=True)
class Run:
    """What one command left: an experiment of one training, or a study of several."""

    folder: Path
    config: dict[str, Any]
    trainings: tuple[Training, ...]
    conclusion: str | None
    """Of a study that is concluded."""
    state: str

    @property
    def is_study(self) -> bool:
        """Its trainings lie in folders of their own."""
        return not (len(self.trainings) == 1 and self.trainings[0].folder == self.folder)

    def result(self) -> str:
        """What it came to, or how far it is."""
        if self.conclusion is not None:
            return self.conclusion
        if not self.trainings:
            return "nothing trained yet"
        *done, last = sorted(self.trainings, key=lambda training: training.state == self.state)
        if not self.is_study:
            return last.result() or last.progress()
        finished = sum(training.state == FINISHED for training in self.trainings)
        current = "" if last.state == FINISHED else f"; {last.label} at {last.progress()}"
        return f"{finished} of {len(done) + 1} trainings begun are finished{current}"


def find_runs(folder: Path) -> list[Run]:
    """The run in `folder`, or those in it and in its subfolders, oldest first."""
    found = [read_run(path) for path in _run_folders(folder)]
    return sorted(found, key=lambda run: run.config.get("date", ""))


def _run_folders(folder: Path) -> Iterator[Path]:
    # Not into a run: what lies in there are its trainings and their checkpoints.
    if (folder / run_folder.CONFIG).exists():
        yield folder
    elif folder.is_dir():
        for path in sorted(folder.iterdir()):
            if not path.name.startswith(".") and path.is_dir():
                yield from _run_folders(path)


def read_run(folder: Path) -> Run:
    """The run in a folder. Raises UsageError if a file of it is damaged, FileNotFoundError if none is there."""
    config = run_folder.read(folder / run_folder.CONFIG)
    unfinished = RUNNING if run_folder.is_held(folder) else STOPPED
    if (folder / "metrics.jsonl").exists():
        training = read_training(folder, unfinished)
        return Run(folder, config, (training,), None, training.state)
    begun = sorted(_metrics_files(folder), key=lambda path: path.stat().st_mtime)
    trainings = tuple(
        dataclasses.replace(
            read_training(path.parent, unfinished), label=str(path.parent.relative_to(folder))
        )
        for path in begun
    )
    path = folder / run_folder.CONCLUSION
    conclusion = run_folder.read(path)["line"] if path.exists() else None
    done = conclusion is not None and unfinished == STOPPED
    return Run(folder, config, trainings, conclusion, FINISHED if done else unfinished)


def _metrics_files(folder: Path) -> Iterator[Path]:
    """Those of a study's trainings, which may lie in the folders of the studies that it is made of."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "checkpoints":
            if (metrics := path / "metrics.jsonl").exists():
                yield metrics
            else:
                yield from _metrics_files(path)


def read_training(folder: Path, unfinished: str = STOPPED) -> Training:
    """The training in a folder; `unfinished` is the state it has without a result."""
    path = folder / run_folder.RESULT
    result = run_folder.read(path) if path.exists() else {}
    records = read_metrics(folder)
    return Training(
        folder.name,
        folder,
        FINISHED if result else unfinished,
        max((record["step"] for record in records), default=0),
        _steps(folder / "timing.jsonl"),
        result.get("metrics", {}),
        result.get("diverged"),
    )


def _steps(timing: Path) -> int | None:
    """How many steps a training is to have; None for one that an older version began."""
    lines = timing.read_bytes().splitlines() if timing.exists() else []
    records = [record for record in map(parse_record, lines) if record]
    return next((record["steps"] for record in reversed(records) if "steps" in record), None)
