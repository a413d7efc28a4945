"""Tables, figures and sentences of the derivation study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.derivation.figures import expansion_shares, gradient_agreement
from jresnet.studies.derivation.measure import Agreement, Terms, measure
from jresnet.studies.subjects import Subject, trained

HEADERS = ("parameter", "values", "largest gradient", "largest difference")
AGREEMENT = (
    "Every parameter's gradient in float64, from the stem to the head, and the images' last. "
    "Differences of exactly zero are not drawn."
)
SHARES = (
    "How much of the last block's output comes from each term: <term, h_L> / <h_L, h_L>, over all "
    "images. The shares add up to 100 %."
)
PAPER = (
    "jresnet/analysis/derivation.py derives the backward pass by hand, layer by layer. The "
    "addition passes its gradient unchanged to the shortcut and to the branch.",
    "He et al. 2016: with identity shortcuts and nothing after the addition, any deeper feature "
    "is any shallower one plus a sum of branches, where a plain net is a product of matrices "
    "(equation 4); so the gradient has a term that reaches every block without passing any weight "
    "layer (equation 5). In the post-activation net of 2015 the change by the ReLU after each addition is "
    "a further term, which the paper neglects.",
)


def conclude(
    examples: int,
    seed: int,
    subject: Subject | None,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Compare, draw, write gradients.csv, expansion.csv and the report.

    Args:
        examples: images of the training split.
        seed: seed of their draw.
        subject: a net that is trained already; without one the first of `runs` is taken.
        runs: the training, if there was one.
        folder: where everything is written.
        results: the training's result.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    subject = subject or next(iter(trained(runs, results).values()))
    agreement, terms = measure(subject, examples, seed)
    write_tables(folder, agreement, terms)
    worst = sorted(agreement, key=lambda row: -row.difference)
    gradients = gradient_agreement(
        [row.name for row in agreement],
        [row.largest for row in agreement],
        [row.difference for row in agreement],
    )
    expansion = expansion_shares(
        terms.blocks, terms.start, terms.branches.tolist(), terms.corrections.tolist()
    )
    summary = statement(subject.label, agreement, terms)
    sections = [
        Section(
            "Gradients by hand",
            [
                picture(gradients, folder / "gradients.png", AGREEMENT, summary),
                Table(HEADERS, worst[:10], "The ten with the largest difference; all in the CSV."),
            ],
        ),
        Section(
            "The net as a sum",
            [picture(expansion, folder / "expansion.png", SHARES, summary)],
        ),
    ]
    return conclude_study(folder, "Backpropagation by hand", summary, sections, provenance, PAPER)


def write_tables(folder: Path, agreement: Sequence[Agreement], terms: Terms) -> None:
    """gradients.csv and expansion.csv."""
    write_csv(folder / "gradients.csv", HEADERS, agreement)
    branches, corrections = terms.branches.tolist(), terms.corrections.tolist()
    rows: list[tuple[object, ...]] = [("h_0", terms.start, 0.0)]
    rows += zip(terms.blocks, branches, corrections, strict=True)
    write_csv(folder / "expansion.csv", ("term", "share of branch", "share of relu"), rows)


def statement(label: str, agreement: Sequence[Agreement], terms: Terms) -> str:
    """The largest difference between the gradients, and the shares of the net's terms."""
    difference = max(row.difference for row in agreement)
    verdict = "equal to 1e-10" if difference < 1e-10 else "NOT equal to 1e-10"
    total = sum(row.size for row in agreement)
    text = (
        f"{label}: gradients by hand and by jax.grad are {verdict}: of {total:,} entries "
        f"the largest difference is {difference:.1e}. h_L = h_0 + sum F holds to {terms.error:.1e} "
        f"of h_L's largest entry over {len(terms.blocks)} blocks; h_0 makes up "
        f"{100 * terms.start:.1f} % of h_L, the branches {100 * float(terms.branches.sum()):.1f} %"
    )
    relu = 100 * float(terms.corrections.sum())
    return text + (
        f", the ReLUs after additions {relu:.1f} %." if np.any(terms.corrections) else "."
    )
