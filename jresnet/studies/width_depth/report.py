"""The table, figure and sentences about width and depth."""

from collections.abc import Mapping
from pathlib import Path

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.variants import Row, measured, write_csv
from jresnet.studies.width_depth.figures import cost_against_error

PUBLISHED = {"WRN-40-4": 4.53, "WRN-16-8": 4.27, "WRN-28-10": 4.00, "WRN-16-4": 5.02}
HEADERS = (
    "net",
    "parameters",
    "ms a step",
    "train error (%)",
    "test error (%)",
    "paper, CIFAR-10 (%)",
)
CAPTION = "Test error against the time of a training step; the area of a dot is its parameters."
PAPER = (
    "Zagoruyko & Komodakis 2016: a net of 16 layers and eight times the channels is better than a "
    "thin one of a thousand layers and many times faster to train, because wide layers fill a "
    "machine and layers one after the other cannot be computed at once. What makes residual nets "
    "good is the residual blocks; depth adds to it.",
)


def conclude(
    nets: tuple[str, ...],
    batch_size: int,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write the table, the figure, width_depth.csv and the report; returns the closing line."""
    rows = measured(nets, results, batch_size)
    write_csv(folder / "width_depth.csv", rows)
    cells = [
        (
            row.name,
            f"{row.parameters:,}",
            f"{row.step_ms:.0f}",
            f"{row.train:.2f}",
            row.test_cell(),
            f"{PUBLISHED[row.name]:.2f}" if row.name in PUBLISHED else "–",
        )
        for row in rows
    ]
    drawn = cost_against_error(
        [row.name for row in rows],
        [row.step_ms for row in rows],
        [row.test for row in rows],
        [row.parameters for row in rows],
        f"milliseconds a training step of {batch_size}",
    )
    summary = statement(rows)
    figure = picture(drawn, folder / "width_depth.png", CAPTION, summary)
    sections = [
        Section("Error against time", [figure, Table(HEADERS, cells)]),
    ]
    return conclude_study(folder, "Width and depth", summary, sections, provenance, PAPER)


def statement(rows: list[Row]) -> str:
    """A sentence that compares the deepest and the widest net."""
    deep = max(rows, key=lambda row: int(row.name.split("-")[1]))
    wide = max(rows, key=lambda row: int(row.name.split("-")[2]))
    return (
        f"{deep.name} ({deep.parameters / 1e6:.2f} M parameters) has {deep.test:.2f} % test error "
        f"at {deep.step_ms:.0f} ms a step, {wide.name} ({wide.parameters / 1e6:.2f} M) "
        f"{wide.test:.2f} % at {wide.step_ms:.0f} ms: the wide net takes "
        f"{wide.step_ms / deep.step_ms:.2f} of the time."
    )
