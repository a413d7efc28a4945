"""The table and the figure of trained nets on shifted test sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.data.augment.corruptions import KINDS
from jresnet.experiment import Result
from jresnet.report.html import Section, Table
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import picture
from jresnet.studies.transfer.methods import NAMES
from jresnet.studies.transfer.shifted import Shift

Errors = Mapping[tuple[str, int], float]  # mean error by kind and strength; ("test", 0) unchanged

NOTE = (
    "Accuracy in per cent on the test set and on the same pictures made worse, each kind the mean "
    "of five strengths (arXiv:1903.12261); means over the seeds, all training examples. The last "
    "column is the mean of the four kinds."
)


def shifted_section(folder: Path, shifts: Sequence[Shift], results: Mapping[str, Result]) -> Section:  # fmt: skip
    """Table and figure of the trainings with the most examples."""
    last = list(results)[-1].split("-")[1]
    methods: dict[str, list[str]] = {}
    for label in results:
        method, count, _ = label.split("-")
        if count == last:
            methods.setdefault(method, []).append(label)
    errors = {method: mean_errors(labels, shifts, results) for method, labels in methods.items()}
    panels = {kind: {NAMES[m]: lines(each, kind) for m, each in errors.items()} for kind in KINDS}
    drawing = line_panels(panels, "strength", "accuracy (%)")
    caption = "Accuracy against the strength of each corruption; strength 0 is the test set itself."
    return Section(
        "On shifted pictures",
        [
            Table(HEADERS, [row(NAMES[m], values) for m, values in errors.items()], NOTE),
            picture(drawing, folder / "shifted.png", caption),
        ],
    )


HEADERS = ["method", "test set", *KINDS, "mean of shifted"]


def mean_errors(
    labels: Sequence[str], shifts: Sequence[Shift], results: Mapping[str, Result]
) -> dict[tuple[str, int], float]:
    """The errors of one method, means over the seeds `labels`."""
    grouped: dict[tuple[str, int], list[float]] = {
        ("test", 0): [results[label].metrics["test"]["error"] for label in labels]
    }
    for shift in shifts:
        if shift.label in labels:
            grouped.setdefault((shift.kind, shift.strength), []).append(shift.error)
    return {key: float(np.mean(values)) for key, values in grouped.items()}


def row(name: str, errors: Errors) -> list[object]:
    """One line of the table."""
    kinds = [np.mean([e for (kind, _), e in errors.items() if kind == one]) for one in KINDS]
    shares = [errors["test", 0], *kinds, np.mean(kinds)]
    return [name, *(f"{100 * (1 - share):.1f}" for share in shares)]


def lines(errors: Errors, kind: str) -> Line:
    """Accuracy in per cent at strengths 0 (the test set itself) to 5."""
    strengths = sorted(strength for one, strength in errors if one == kind)
    shares = [errors["test", 0], *(errors[kind, strength] for strength in strengths)]
    return Line([0, *strengths], [100 * (1 - share) for share in shares])
