"""What may stand on the shortcut, and where norms and activations go: two tables of He et al. 2016.

    python -m experiments.shortcuts
    python -m experiments.shortcuts --dataset cifar10 --depth 110 --steps 64000 --seeds 5

Identity Mappings in Deep Residual Networks (arXiv:1603.05027), tables 1 and 2, on CIFAR-10: the
median of five runs of ResNet-110. The second line is the paper's own experiment.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Result, Study
from jresnet.models import zoo
from jresnet.models.block import (
    BN_AFTER_ADDITION,
    POSTACTIVATION,
    PREACTIVATION,
    RELU_BEFORE_ADDITION,
    RELU_PREACTIVATION,
)
from jresnet.models.gates import HighwayGate, Scaled
from jresnet.models.part import part
from jresnet.models.shortcuts import DropoutShortcut, NoShortcut, ScaledIdentity
from jresnet.report.bars import compared
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.variants import Row, measured, trainings, write_csv


class Variant(NamedTuple):
    """What is injected into the one block, and the paper's error in per cent (None: above 20)."""

    fields: dict[str, Any]
    published: float | None


HALF = {"shortcut": part(ScaledIdentity, scale=0.5)}
# b: the gates' bias at first. The published errors are those of papers.md; the paper's gated nets
# train that bias too.
SHORTCUTS = {
    "identity": Variant({}, 6.61),
    "none (plain)": Variant({"shortcut": part(NoShortcut)}, None),
    "0.5 x identity, branch x 1": Variant(HALF, None),
    "0.5 x identity, branch x 0.5": Variant({**HALF, "gate": part(Scaled, factor=0.5)}, 12.35),
    "exclusive gating, b = 0": Variant({"join": part(HighwayGate, bias=0.0)}, None),
    "exclusive gating, b = -6": Variant({"join": part(HighwayGate, bias=-6.0)}, 8.70),
    "gated shortcut, b = 0": Variant({"join": part(HighwayGate, bias=0.0, branch=False)}, 12.86),
    "gated shortcut, b = -6": Variant({"join": part(HighwayGate, bias=-6.0, branch=False)}, 6.91),
    "1x1 convolution": Variant({"shortcut": "C"}, 12.22),
    "dropout 0.5": Variant({"shortcut": part(DropoutShortcut, rate=0.5)}, None),
}
ORDERS = {
    "original": Variant({"order": POSTACTIVATION}, 6.61),
    "BN after addition": Variant({"order": BN_AFTER_ADDITION}, 8.17),
    "ReLU before addition": Variant({"order": RELU_BEFORE_ADDITION}, 7.84),
    "ReLU-only pre-activation": Variant({"order": RELU_PREACTIVATION}, 6.71),
    "full pre-activation": Variant({"order": PREACTIVATION}, 6.37),
}
TableName = Literal["shortcuts", "orders"]
TABLES: dict[TableName, dict[str, Variant]] = {"shortcuts": SHORTCUTS, "orders": ORDERS}


def shortcuts(
    dataset: str = "digits",
    depth: int = 20,
    steps: int = 160,
    seeds: int = 1,
    tables: tuple[TableName, ...] = ("shortcuts", "orders"),
    learning_rate: float = 0.1,
    batch_size: int = 128,
    data_dir: Path | None = None,
) -> Study:
    """Every shortcut and every order of norm and activation of He et al. 2016, tables 1 and 2.

    All by the recipe of He et al. 2015 (`degradation`'s) and with zero-padded shortcuts where the
    shape changes, so that nothing but the named part differs. Gates are one 1x1 convolution of the
    shortcut and a sigmoid. With ReLU-only and full pre-activation the net closes with what stands
    before its convolutions; a ReLU behind the stem is left out with full pre-activation alone.

    The paper (ResNet-110, CIFAR-10, medians of five): whatever is put on the shortcut harms, and
    keeping the path between blocks clean by full pre-activation helps, the more the deeper.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depth: layers, 6n+2.
        steps: training steps of each net.
        seeds: repetitions.
        tables: shortcuts, orders or both.
        learning_rate: peak rate.
        batch_size: examples a training step.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    if strange := [name for name in tables if name not in TABLES]:
        raise ValueError(f"tables {', '.join(strange)}: take some of {', '.join(TABLES)}")
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    nets = {
        name: zoo.cifar_resnet(depth, data.info().num_classes, **variant.fields)
        for table in tables
        for name, variant in TABLES[table].items()
    }
    runs = trainings(nets, data, steps, seeds, learning_rate)
    return Study(runs, functools.partial(conclude, tables, depth, batch_size))


def conclude(
    tables: tuple[TableName, ...],
    depth: int,
    batch_size: int,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Tables, figures, shortcuts.csv and the report; the closing line says what agrees."""
    sections, sentences, everything = [], [], []
    for table in tables:
        rows = measured(TABLES[table], results, batch_size)
        everything += rows
        cells = [
            (row.name, f"{row.train:.2f}", row.test_cell(), published(TABLES[table][row.name]))
            for row in rows
        ]
        print(format_table(HEADERS, cells))
        drawn = compared(
            [row.name for row in rows],
            [row.test for row in rows],
            [(row.lowest, row.highest) for row in rows],
            f"test error of ResNet-{depth} (%)",
        )
        figure = save(drawn, folder / f"{table}.png")
        sentences.append(statement(table, rows))
        sections.append(
            Section(TITLES[table], [Figure(figure, CAPTION, sentences[-1]), Table(HEADERS, cells)])
        )
    write_csv(folder / "shortcuts.csv", everything)
    closing = " ".join(sentences)
    sections.append(Section("What is seen, and what the paper found", [Text((closing, *PAPER))]))
    return write_conclusion(folder, "Shortcuts and orders", closing, sections, provenance)


def published(variant: Variant) -> str:
    """The paper's number as it is printed there."""
    return "fail (> 20)" if variant.published is None else f"{variant.published:.2f}"


def statement(table: str, rows: list[Row]) -> str:
    """How the first row stands against the others, in the paper and here."""
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


HEADERS = ("", "train error (%)", "test error (%)", "paper, ResNet-110 (%)")
TITLES = {"shortcuts": "What stands on the shortcut", "orders": "Where norms and activations stand"}
CAPTION = "Medians over the seeds, with the lowest and the highest where there are several."
PAPER = (
    "He et al. 2016: with identity shortcuts and nothing behind the addition the signal passes from "
    "any block to any other, forward and backward. A factor on the shortcut becomes its power over "
    "the blocks between; gates and 1x1 convolutions can represent the identity and train worse "
    "even so: the trouble is optimisation.",
    "Orders differ little in a net of this depth: the paper's gains are 0.24 points at 110 layers "
    "and 2.69 at 1001 (7.61 to 4.92 %), where the ReLU behind the addition stands a thousand times "
    "in the way.",
)


if __name__ == "__main__":
    launch(shortcuts)
