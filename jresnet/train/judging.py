"""Warnings of a task about its own training, after each evaluation."""

import logging
from pathlib import Path

from jresnet.report.curves import read_metrics
from jresnet.tasks.base import Judges, Task
from jresnet.train.setup import Results

logger = logging.getLogger(__name__)


class Judging:
    """Asks a task that judges itself (`Judges`) after each evaluation, and warns once of a cause.

    It reads the losses from metrics.jsonl in `folder`, so that a resumed run knows its first ones.
    With `folder` None nothing is asked: of several processes one warns.
    """

    def __init__(self, task: Task, folder: Path | None):
        self.task, self.folder = task, folder
        self.told: set[str] = set()

    def __call__(self, step: int, results: Results) -> None:
        """Judge what an evaluation after `step` steps gave, once it is logged."""
        if self.folder is None or not results or not isinstance(self.task, Judges):
            return
        records = [line for line in read_metrics(self.folder) if line["split"] == "train"]
        for split, values in results.items():
            finding = self.task.finding(records, values)
            if finding is not None and finding.cause not in self.told:
                self.told.add(finding.cause)
                logger.warning("step %d, %s: %s", step, split, finding.line)
