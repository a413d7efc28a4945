"""The table, figure and sentences about cardinality."""

from collections.abc import Mapping
from pathlib import Path

from jresnet.data.pipeline import ImageData
from jresnet.experiment import Result
from jresnet.models.heads import Classifier
from jresnet.models.published import count_net
from jresnet.report.bars import compared
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.cardinality.measure import forms_apart
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.variants import measured, slug, write_csv

# C x d of equal cost in a bottleneck of 256 channels, and the top-1 error on ImageNet (table 3).
PUBLISHED = {"1x64d": 23.9, "2x40d": 23.0, "4x24d": 22.6, "8x14d": 22.3, "32x4d": 22.2}
HEADERS = (
    "C x d",
    "parameters",
    "MMAC",
    "ms a step",
    "train error (%)",
    "test error (%)",
    "forms apart",
    "paper, ImageNet top-1 (%)",
)
CAPTION = "Medians over the seeds, with the lowest and the highest where there are several."
PAPER = (
    "Xie et al. 2016: at equal parameters and multiplications more and narrower paths are better, "
    "from 23.9 % with one to 22.2 % with 32, and more of them gain more than wider or deeper nets "
    "of twice the cost. The training error falls too, so it is no regularisation but a stronger "
    "representation. On a CPU grouped convolutions are slower than their cost says.",
)


def conclude(
    nets: Mapping[str, Classifier],
    data: ImageData,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write the table, the figure, cardinality.csv and the report; returns the closing line."""
    rows = measured(nets, results, data.batch_size)
    write_csv(folder / "cardinality.csv", rows)
    image = tuple(data.example_batch["image"].shape[1:])
    apart = {
        name: forms_apart(net, results[f"{slug(name)}-seed0"].folder, image)
        for name, net in nets.items()
    }
    cells = [
        (
            row.name,
            f"{row.parameters:,}",
            f"{count_net(nets[row.name], image).macs / 1e6:.1f}",
            f"{row.step_ms:.0f}",
            f"{row.train:.2f}",
            row.test_cell(),
            f"{apart[row.name]:.1e}",
            f"{PUBLISHED[row.name]:.1f}",
        )
        for row in rows
    ]
    drawn = compared(
        [row.name for row in rows],
        [row.test for row in rows],
        [(row.lowest, row.highest) for row in rows],
        "test error (%)",
    )
    first, best = rows[0], min(rows, key=lambda row: row.test)
    agree = "as" if best.name == "32x4d" else "not as"
    summary = (
        f"At equal cost {best.name} has the lowest test error, {best.test:.2f} % ({first.name}: "
        f"{first.test:.2f} %; {agree} in the paper, where 32x4d has). The three forms of a block "
        f"differ by at most {max(apart.values()):.1e} of its largest value."
    )
    figure = picture(drawn, folder / "cardinality.png", CAPTION, summary)
    sections = [
        Section("Error at equal cost", [figure, Table(HEADERS, cells)]),
    ]
    return conclude_study(folder, "Cardinality", summary, sections, provenance, PAPER)
