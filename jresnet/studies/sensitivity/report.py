"""The table and sentences about the sweep over learning rates and depths."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from jresnet.experiment import Result
from jresnet.report import csv_file
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.sensitivity.figures import drawn
from jresnet.studies.sensitivity.measure import KINDS, SPLITS, Cell, Errors, Kind, error

NEAR = 5.0  # points of training error
HEADERS = ("nets", "layers", "rate", "train error (%)", "test error (%)", "diverged")
CAPTION = (
    "Every dot is a training; lines go through the medians of the seeds and bands from the lowest "
    "to the highest. Plain and residual nets have the same layers and parameters."
)
AFTER = "Medians over the seeds, lowest and highest in brackets; over every example of the split."
PAPER = (
    "Li et al. 2018 draw the surfaces: shortcuts keep those of deep nets nearly convex, where those "
    "of deep plain nets are chaotic, and flat minima go with low test error. He et al. 2015 saw at "
    "one rate (0.1) that plain nets of 56 layers train to a higher error than of 20, and residual "
    "ones to a lower.",
    "A wide range of rates at which a net trains is what a smooth surface would give: a gradient "
    "tells of the loss a step away only where it changes slowly. That is seen here in training "
    "error. Whether residual nets also generalise better is another matter: where both train to "
    "the end, the difference in test error is small, and on easy data it may have either sign.",
)


def conclude(
    by_rate: Sequence[tuple[int, float]],
    by_depth: Sequence[tuple[int, float]],
    seeds: int,
    guessing: float,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write the table, the figure, sensitivity.csv and the report.

    Args:
        by_rate: depths and rates of the nets whose rate varies.
        by_depth: depths and rates of the nets whose depth varies.
        seeds: trainings of each.
        guessing: error of guessing, as a fraction.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, which says whether the claim holds, and the page.
    """
    errors = {
        Cell(kind, *at): {
            split: [
                error(results[Cell(kind, *at).label(seed)], split, guessing)
                for seed in range(seeds)
            ]
            for split in SPLITS
        }
        for at in dict.fromkeys([*by_rate, *by_depth])
        for kind in KINDS
    }
    write_csv(folder / "sensitivity.csv", errors, results)
    rows = [row(cell, values, results) for cell, values in errors.items()]
    summary = statement(by_rate, by_depth, errors)
    drawing = drawn(by_rate, by_depth, errors)
    figure = picture(drawing, folder / "sensitivity.png", CAPTION, summary)
    sections = [
        Section(
            "Error against learning rate and depth",
            [figure, Table(HEADERS, rows, AFTER)],
        ),
    ]
    return conclude_study(folder, "Sensitivity", summary, sections, provenance, PAPER)


def row(
    cell: Cell, values: Mapping[str, Sequence[float]], results: Mapping[str, Result]
) -> tuple[object, ...]:
    """One line of the table."""
    lost = sum(bool(results[cell.label(seed)].diverged) for seed in range(len(values["train"])))
    return (
        cell.kind,
        cell.depth,
        f"{cell.rate:g}",
        *(spread(values[split]) for split in SPLITS),
        lost,
    )


def spread(values: Sequence[float]) -> str:
    """The median, and the range if there are different values."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})" if low < high else f"{middle:.2f}"


def statement(
    by_rate: Sequence[tuple[int, float]], by_depth: Sequence[tuple[int, float]], errors: Errors
) -> str:
    """The number of rates and depths at which each kind trains well, and its best test error."""
    cells = [*by_rate, *by_depth]
    best = {
        split: min(
            statistics.median(errors[Cell(kind, *at)][split]) for at in cells for kind in KINDS
        )
        for split in SPLITS
    }

    def stood(kind: Kind, at: Sequence[tuple[int, float]]) -> int:
        medians = [statistics.median(errors[Cell(kind, *cell)]["train"]) for cell in at]
        return sum(value <= best["train"] + NEAR for value in medians)

    def lowest(kind: Kind) -> float:
        return min(statistics.median(errors[Cell(kind, *at)]["test"]) for at in cells)

    parts = [
        f"{kind} nets of {by_rate[0][0]} layers do so at {stood(kind, by_rate)} of {len(by_rate)} "
        f"rates, and at rate {by_depth[0][1]:g} at {stood(kind, by_depth)} of {len(by_depth)} depths"
        for kind in KINDS
    ]
    counts = [stood("residual", at) - stood("plain", at) for at in (by_rate, by_depth)]
    easier = "as claimed" if min(counts) >= 0 < max(counts) else "not as claimed"
    better = "as claimed" if lowest("residual") < lowest("plain") else "not as claimed"
    return (
        f"Trained to within {NEAR:g} points of the lowest training error ({best['train']:.2f} %): "
        f"{'; '.join(parts)} (residual nets less sensitive: {easier}). Lowest test error: plain "
        f"{lowest('plain'):.2f} %, residual {lowest('residual'):.2f} % (residual better: {better})."
    )


def write_csv(path: Path, errors: Errors, results: Mapping[str, Result]) -> None:
    """Write a row for each training: its errors in per cent, and how it diverged if it did."""
    csv_file.write_csv(
        path,
        (*Cell._fields, "seed", "train error", "test error", "diverged"),
        (
            (*cell, seed, train, test, results[cell.label(seed)].diverged or "")
            for cell, values in errors.items()
            for seed, (train, test) in enumerate(zip(*(values[s] for s in SPLITS), strict=True))
        ),
    )
