"""The tables, figures and sentences about lesions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.lesion.figures import amounts, deletions
from jresnet.studies.lesion.measure import Trial, errors, select, transitions
from jresnet.studies.subjects import Subject, trained

HEADERS = (
    "net",
    "intact error (%)",
    "one deleted: median (%)",
    "highest (%)",
    "at block",
    "half deleted: median (%)",
    "lowest τ",
    "error there (%)",
)
SINGLE = "Error without one block. Dotted: the intact net. Shaded: blocks that change the shape."
SEVERAL = (
    "Left: error against the number of blocks deleted at random, medians, shaded from lowest to "
    "highest. Right: error of every trial against the order of blocks after random swaps; 1 is the "
    "original order."
)
PAPER = (
    "Veit et al. 2016 deleted each of the 54 blocks of a ResNet-110 and saw hardly a change of "
    "error but at the two blocks where the resolution changes; any layer taken from VGG-15 brought "
    "its error to chance (90 %). With more blocks deleted, and with more of them swapped, the "
    "error of the residual net rose smoothly. These are given as figures, not as numbers.",
    "The explanation: of the 2^n paths through n blocks, deleting one block removes half and "
    "leaves the other half as they were; a plain net has one path, and every block lies on it.",
)


def conclude(
    measured: Callable[[Subject], list[Trial]],
    split: str,
    subjects: list[Subject],
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure, draw, write lesions.csv and the report.

    Args:
        measured: `measure` with all arguments but the net.
        split: split of the examples.
        subjects: trained nets to examine; without them, those of `runs`.
        runs: the trainings, if there were any.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    subjects = subjects or list(trained(runs, results).values())
    trials = [trial for subject in subjects for trial in measured(subject)]
    write_csv(folder / "lesions.csv", Trial._fields, trials)
    summaries = [summary(subject, trials) for subject in subjects]
    rows = [one.row() for one in summaries]

    ylabel = f"{split} error (%)"
    names = [subject.label for subject in subjects]
    marks = transitions(subjects[0])
    single = deletions(
        {name: errors(trials, name, "one deleted") for name in names},
        {name: errors(trials, name, "intact")[0] for name in names},
        marks,
        "changes the shape",
        ylabel,
    )
    several = amounts(
        {n: [(t.amount, 100 * t.error) for t in select(trials, n, "deleted")] for n in names},
        {n: [(t.kendall_tau, 100 * t.error) for t in select(trials, n, "swapped")] for n in names},
        ylabel,
    )
    statement = " ".join(one.sentence() for one in summaries)
    sections = [
        Section(
            "One block deleted",
            [picture(single, folder / "deleted.png", SINGLE, statement), Table(HEADERS, rows)],
        ),
        Section(
            "Several deleted, pairs swapped", [picture(several, folder / "amounts.png", SEVERAL)]
        ),
    ]
    return conclude_study(folder, "Lesions", statement, sections, provenance, PAPER)


class Summary(NamedTuple):
    """The effect of lesions on one net; errors in per cent."""

    net: str
    chance: float
    intact: float
    single: list[float]
    transitions: list[int]
    half: float
    disordered: tuple[float, float] | None  # Kendall's tau, error

    def row(self) -> tuple[object, ...]:
        worst = int(np.argmax(self.single))
        tau, error = self.disordered or (None, None)
        numbers = (self.intact, float(np.median(self.single)), self.single[worst])
        return (
            self.net,
            *(f"{number:.2f}" for number in numbers),
            f"{worst + 1}{' (changes the shape)' if worst in self.transitions else ''}",
            f"{self.half:.2f}",
            "–" if tau is None else f"{tau:.2f}",
            "–" if error is None else f"{error:.2f}",
        )

    def sentence(self) -> str:
        median, worst = float(np.median(self.single)), int(np.argmax(self.single))
        share = (median - self.intact) / max(self.chance - self.intact, 1e-9)
        word = "hardly changes" if share < 0.05 else "harms" if share < 0.5 else "destroys"
        kind = ", which changes the shape" if worst in self.transitions else ""
        return (
            f"Deleting one block {word} {self.net}: error from {self.intact:.2f} % to a median of "
            f"{median:.2f} %, at most {self.single[worst]:.2f} % without block {worst + 1}{kind}."
        )


def summary(subject: Subject, trials: list[Trial]) -> Summary:
    """The summary of one subject's trials."""
    deleted = select(trials, subject.label, "deleted")
    most = max(trial.amount for trial in deleted)
    swaps = select(trials, subject.label, "swapped")
    last = min(swaps, key=lambda trial: trial.kendall_tau, default=None)
    return Summary(
        subject.label,
        100 * (1 - 1 / subject.classifier.num_classes),
        errors(trials, subject.label, "intact")[0],
        errors(trials, subject.label, "one deleted"),
        transitions(subject),
        float(np.median([100 * trial.error for trial in deleted if trial.amount == most])),
        None if last is None else (last.kendall_tau, 100 * last.error),
    )
