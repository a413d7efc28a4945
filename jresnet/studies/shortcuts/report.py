"""Tables, figures and sentences of the study of shortcuts and orders."""

from collections.abc import Mapping
from pathlib import Path

from jresnet.experiment import Result
from jresnet.report.bars import compared
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.shortcuts.measure import TABLES, TableName, Variant
from jresnet.studies.variants import Row, measured, write_csv

HEADERS = ("", "train error (%)", "test error (%)", "paper, ResNet-110 (%)")
TITLES = {"shortcuts": "Operations on the shortcut", "orders": "Order of norms and activations"}
CAPTION = "Medians over the seeds, with the lowest and the highest where there are several."
PAPER = (
    "He et al. 2016: with identity shortcuts and nothing after the addition the signal passes from "
    "any block to any other, forward and backward. A factor on the shortcut becomes its power over "
    "the blocks between; gates and 1x1 convolutions can represent the identity and train worse "
    "even so: the trouble is optimisation.",
    "Orders differ little in a net of this depth: the paper's gains are 0.24 points at 110 layers "
    "and 2.69 at 1001 (7.61 to 4.92 %), where the signal passes a thousand ReLUs after additions.",
)


def conclude(
    tables: tuple[TableName, ...],
    depth: int,
    batch_size: int,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write shortcuts.csv and the report.

    Args:
        tables: those whose nets were trained.
        depth: layers of the nets.
        batch_size: examples a training step.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, which says whether the paper's result is seen, and the page.
    """
    sections, sentences, everything = [], [], []
    for table in tables:
        rows = measured(TABLES[table], results, batch_size)
        everything += rows
        cells = [
            (row.name, f"{row.train:.2f}", row.test_cell(), published(TABLES[table][row.name]))
            for row in rows
        ]
        drawn = compared(
            [row.name for row in rows],
            [row.test for row in rows],
            [(row.lowest, row.highest) for row in rows],
            f"test error of ResNet-{depth} (%)",
        )
        sentences.append(statement(table, rows))
        figure = picture(drawn, folder / f"{table}.png", CAPTION, sentences[-1])
        sections.append(Section(TITLES[table], [figure, Table(HEADERS, cells)]))
    write_csv(folder / "shortcuts.csv", everything)
    closing = " ".join(sentences)
    return conclude_study(folder, "Shortcuts and orders", closing, sections, provenance, PAPER)


def published(variant: Variant) -> str:
    """The paper's error in per cent, in the paper's words."""
    return "fail (> 20)" if variant.published is None else f"{variant.published:.2f}"


def statement(table: str, rows: list[Row]) -> str:
    """A comparison of the first row with the others, here and in the paper."""
    first, others = rows[0], rows[1:]
    if table == "shortcuts":
        better = [row.name for row in others if row.test < first.test]
        none = "every other shortcut is no better"
        said = f"better: {', '.join(better)}" if better else none
        return f"The identity has {first.test:.2f} % test error; {said} (in the paper: none is)."
    best = min(rows, key=lambda row: row.test)
    pre = rows[-1]
    agrees = "as" if pre.test <= min(row.test for row in rows) else "not as"
    return (
        f"Of the orders {best.name} has the lowest test error, {best.test:.2f} % ({agrees} in the "
        f"paper: full pre-activation); original {first.test:.2f} %, full pre-activation "
        f"{pre.test:.2f} %."
    )
