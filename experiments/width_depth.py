"""Width against depth: wide shallow and thin deep residual nets of equal parameters, and their time.

    python -m experiments.width_depth
    python -m experiments.width_depth --dataset cifar10 --nets 40-4 16-8 28-10 --steps 78000

Zagoruyko & Komodakis 2016 (arXiv:1605.07146): on CIFAR-10 WRN-40-4 (8.9 M parameters) has 4.53 %
error, WRN-16-8 (11.0 M) 4.27 % at a fraction of the time, WRN-28-10 (36.5 M) 4.00 %.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.models import zoo
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.scatter import cost_against_error
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.variants import Row, measured, trainings, write_csv

PUBLISHED = {"WRN-40-4": 4.53, "WRN-16-8": 4.27, "WRN-28-10": 4.00, "WRN-16-4": 5.02}


def width_depth(
    dataset: str = "digits",
    nets: tuple[str, ...] = ("40-1", "22-1", "16-2", "10-3"),
    steps: int = 160,
    seeds: int = 1,
    learning_rate: float = 0.1,
    batch_size: int = 128,
    data_dir: Path | None = None,
) -> Study:
    """Wide ResNets of several depths and widths: error, parameters and time of a step.

    By the recipe of He et al. 2015, so that nothing but the net differs (`cifar10 --family wrn`
    has the paper's). By default three nets of 0.56 to 0.69 million parameters, of 40, 16 and 10
    layers, and one of half of them.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        nets: depth-k each: 6n+4 layers, k times the channels.
        steps: training steps of each net.
        seeds: repetitions.
        learning_rate: peak rate.
        batch_size: examples a training step.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    classes = data.info().num_classes
    models = {}
    for text in nets:
        depth, _, k = text.partition("-")
        if not (depth.isdecimal() and k.isdecimal() and int(k)):
            raise UsageError(f"nets={text}: expected depth-k, such as 28-10")
        models[f"WRN-{depth}-{k}"] = zoo.wrn(int(depth), int(k), num_classes=classes)
    runs = trainings(models, data, steps, seeds, learning_rate)
    return Study(runs, functools.partial(conclude, tuple(models), batch_size))


def conclude(
    nets: tuple[str, ...],
    batch_size: int,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Table, figure, width_depth.csv and the report; the closing line."""
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
    print(format_table(HEADERS, cells))
    drawn = cost_against_error(
        [row.name for row in rows],
        [row.step_ms for row in rows],
        [row.test for row in rows],
        [row.parameters for row in rows],
        f"milliseconds a training step of {batch_size}",
    )
    figure = save(drawn, folder / "width_depth.png")
    summary = statement(rows)
    sections = [
        Section("Error against time", [Figure(figure, CAPTION, summary), Table(HEADERS, cells)]),
        Section("What is seen, and what the paper found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Width and depth", summary, sections, provenance)


def statement(rows: list[Row]) -> str:
    """The deepest against the widest net."""
    deep = max(rows, key=lambda row: int(row.name.split("-")[1]))
    wide = max(rows, key=lambda row: int(row.name.split("-")[2]))
    return (
        f"{deep.name} ({deep.parameters / 1e6:.2f} M parameters) has {deep.test:.2f} % test error "
        f"at {deep.step_ms:.0f} ms a step, {wide.name} ({wide.parameters / 1e6:.2f} M) "
        f"{wide.test:.2f} % at {wide.step_ms:.0f} ms: the wide net takes "
        f"{wide.step_ms / deep.step_ms:.2f} of the time."
    )


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


if __name__ == "__main__":
    launch(width_depth)
