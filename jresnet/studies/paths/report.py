"""The table, figure and sentences about paths."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jresnet.analysis.paths import effective_lengths, path_lengths
from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.paths.figures import by_length
from jresnet.studies.paths.measure import central, decay
from jresnet.studies.subjects import Subject, trained

FULL = "all blocks"
HEADERS = ("", "here", "Veit et al. 2016")
CAPTION = (
    "Left: paths of each length, of 2^n. Middle: the gradient's norm at the first block's input, of "
    "single random paths and their mean. Right: the product, as shares; grey: 95 % of it."
)
PAPER = (
    "Veit et al. 2016 found that a path's gradient falls exponentially with its length, so that "
    "nearly all of it comes from paths of 5 to 17 of 54 blocks, although they are 0.45 % of all; "
    "and that a net trained with 23 blocks a batch, without any long path, reaches 5.96 % error "
    "where all blocks reach 6.10 %. Residual nets, they conclude, avoid the vanishing gradient by "
    "short paths and do not carry it through their whole depth.",
)


def conclude(
    measured: Callable[[Subject], np.ndarray],
    subject: Subject | None,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure, draw, write paths.csv and the report.

    Args:
        measured: `measure` with all arguments but the net.
        subject: a trained net to examine; without one, that of `runs`.
        runs: the trainings, if there were any.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    subject = trained(runs, results)[FULL] if subject is None else subject
    norms = measured(subject)
    shares = path_lengths(len(norms) - 1)
    carried = shares * norms.mean(1)
    carried /= carried.sum()
    effective = effective_lengths(carried)
    header = ["length", "share of paths", "share of gradient"]
    write_csv(
        folder / "paths.csv",
        [*header, *(f"norm {i}" for i in range(norms.shape[1]))],
        (
            [length, shares[length], carried[length], *norms[length]]
            for length in range(len(shares))
        ),
    )
    rows = table(shares, norms, effective)
    summary = " ".join([statement(shares, norms, effective), *errors(results)])
    drawing = by_length(shares, norms, carried, effective)
    figure = picture(drawing, folder / "paths.png", CAPTION, summary)
    sections = [
        Section("Lengths and gradients", [figure, Table(HEADERS, rows)]),
    ]
    return conclude_study(folder, "Paths", summary, sections, provenance, PAPER)


def table(
    shares: np.ndarray, norms: np.ndarray, effective: tuple[int, int]
) -> list[tuple[str, str, str]]:
    """Rows of numbers, each with the paper's."""
    first, last = central(shares)
    low, high = effective
    return [
        ("blocks", str(len(shares) - 1), "54"),
        ("95 % of the paths are of length", f"{first} to {last}", "19 to 35"),
        ("norm of the gradient, each block more", f"× {decay(norms):.3f}", "falls exponentially"),
        ("the gradient comes from lengths", f"{low} to {high} (95 %)", "5 to 17"),
        ("which are of all paths", f"{100 * shares[low : high + 1].sum():.3g} %", "0.45 %"),
    ]


def statement(shares: np.ndarray, norms: np.ndarray, effective: tuple[int, int]) -> str:
    """The table in a sentence."""
    low, high = effective
    factor = decay(norms)
    mean = float(np.arange(len(shares)) @ shares)
    kind = "shorter than" if (low + high) / 2 < mean else "not shorter than"
    return (
        f"Each block more on a path multiplies its gradient by {factor:.3f}; 95 % of the gradient "
        f"comes from paths of {low} to {high} of {len(shares) - 1} blocks, {kind} the average path "
        f"({mean:g}), which are {100 * shares[low : high + 1].sum():.3g} % of all."
    )


def errors(results: Mapping[str, Result]) -> list[str]:
    """A sentence on test errors with all paths and with short ones only; none without trainings."""
    each = [f"{100 * r.metrics['test']['error']:.2f} % with {k}" for k, r in results.items()]
    return [f"Test error of training {', '.join(each)}."] if each else []
