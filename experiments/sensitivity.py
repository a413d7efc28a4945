"""How much the learning rate and the depth matter: plain and residual nets over a sweep of both.

    python -m experiments.sensitivity
    python -m experiments.sensitivity --dataset cifar10 --depth 56 --depths 20 32 44 56 110 \
        --rates 0.001 0.01 0.1 1 --steps 64000 --seeds 5

The claim that smooth loss surfaces (Li et al. 2018, arXiv:1712.09913) make nets easier to optimise,
less sensitive to the learning rate and better on new data. He et al. 2015 (arXiv:1512.03385,
section 4.2) show the depths at one rate; the second line is their recipe with rates around theirs.
"""

import csv
import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.figure import Figure as Drawing

from jresnet.data.pipeline import ImageData
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.report.bands import Points, median_bands
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.text import format_table
from jresnet.run.launch import launch

Kind = Literal["plain", "residual"]
KINDS: tuple[Kind, ...] = ("plain", "residual")
SPLITS = ("train", "test")


class Cell(NamedTuple):
    """What is trained, once for each seed."""

    kind: Kind
    depth: int
    rate: float

    def label(self, seed: int) -> str:
        """The run's name."""
        return f"{self.kind}-{self.depth}-rate{self.rate}-seed{seed}"


Errors = Mapping[Cell, Mapping[str, Sequence[float]]]  # per cent by split, one of each seed


def sensitivity(
    dataset: str = "digits",
    rates: tuple[float, ...] = (0.01, 0.1, 1.0),
    depth: int = 20,
    depths: tuple[int, ...] = (8, 20, 32),
    learning_rate: float = 0.1,
    steps: int = 120,
    seeds: int = 3,
    batch_size: int = 128,
    data_dir: Path | None = None,
) -> Study:
    """Training and test error against the learning rate, and against the depth, over several seeds.

    By the recipe of He et al. 2015 (`degradation`'s) with its peak rate replaced: the warm-up at
    0.01, or at the rate where that is lower, and the two divisions by 10 stay. A training whose
    loss is not finite any more counts as guessing. Both kinds of net have the same layers and parameters.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        rates: peak rates of the nets of `depth` layers.
        depth: layers of the nets whose rate varies, 6n+2.
        depths: layers of the nets that are trained at `learning_rate`.
        learning_rate: peak rate of the nets whose depth varies.
        steps: training steps of each net.
        seeds: repetitions, each with its own initialisation and order of examples.
        batch_size: examples a step.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    for name, values in (("rates", rates), ("depths", depths)):
        if len(set(values)) < len(values):
            raise UsageError(f"{name}={' '.join(map(str, values))}: expected none twice")
    by_rate = [(depth, rate) for rate in rates]
    by_depth = [(layers, learning_rate) for layers in depths]
    runs = {}
    data = ImageData(dataset, batch_size, data_dir=data_dir)
    classes = data.info().num_classes
    for layers, rate in dict.fromkeys(by_rate + by_depth):
        residual = zoo.cifar_resnet(layers, classes)
        for kind in KINDS:
            net = zoo.plain(residual) if kind == "plain" else residual
            for seed in range(seeds):
                seeded = dataclasses.replace(data, seed=seed)
                experiment = he2015(net, seeded, steps, seed, rate)
                plan = dataclasses.replace(experiment.plan, eval_every=steps)
                runs[Cell(kind, layers, rate).label(seed)] = dataclasses.replace(
                    experiment, plan=plan, may_diverge=True
                )
    guessing = 1 - 1 / classes
    return Study(runs, functools.partial(conclude, by_rate, by_depth, seeds, guessing))


def conclude(
    by_rate: Sequence[tuple[int, float]],
    by_depth: Sequence[tuple[int, float]],
    seeds: int,
    guessing: float,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Table, figure, sensitivity.csv and the report; the closing line says how far the claim held."""
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
    print(format_table(HEADERS, rows))
    figure = save(drawn(by_rate, by_depth, errors), folder / "sensitivity.png")
    summary = statement(by_rate, by_depth, errors)
    sections = [
        Section(
            "Error against learning rate and depth",
            [Figure(figure, CAPTION, summary), Table(HEADERS, rows, AFTER)],
        ),
        Section("What is seen, and what the papers found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Sensitivity", summary, sections, provenance)


def error(result: Result, split: str, guessing: float) -> float:
    """In per cent; that of guessing for a training that diverged."""
    return 100 * (guessing if result.diverged else result.metrics[split]["error"])


def drawn(
    by_rate: Sequence[tuple[int, float]], by_depth: Sequence[tuple[int, float]], errors: Errors
) -> Drawing:
    """Training error above test error; against the rate on the left, against the depth on the right."""

    def lines(cells: Sequence[tuple[int, float]], split: str, axis: int) -> dict[str, Points]:
        return {kind: {at[axis]: errors[Cell(kind, *at)][split] for at in cells} for kind in KINDS}

    (depth, _), (_, rate) = by_rate[0], by_depth[0]
    panels = [
        panel
        for split in SPLITS
        for panel in (
            (
                f"{split}, {depth} layers",
                "peak learning rate (log scale)",
                lines(by_rate, split, 1),
            ),
            (f"{split}, rate {rate:g}", "layers", lines(by_depth, split, 0)),
        )
    ]
    return median_bands(panels, [f"{split} error (%)" for split in SPLITS], (True, False))


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
    """The median, and the range where there is one."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})" if low < high else f"{middle:.2f}"


def statement(
    by_rate: Sequence[tuple[int, float]], by_depth: Sequence[tuple[int, float]], errors: Errors
) -> str:
    """Which rates and depths each kind stands, and the best of each on new data."""
    cells = [*by_rate, *by_depth]
    best = {
        split: min(
            statistics.median(errors[Cell(kind, *at)][split]) for at in cells for kind in KINDS
        )
        for split in SPLITS
    }

    def stood(kind: Kind, at: Sequence[tuple[int, float]]) -> int:
        found = [statistics.median(errors[Cell(kind, *cell)]["train"]) for cell in at]
        return sum(value <= best["train"] + NEAR for value in found)

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
    """Every training: its errors in per cent, and why it diverged if it did."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*Cell._fields, "seed", "train error", "test error", "diverged"))
        for cell, values in errors.items():
            for seed, (train, test) in enumerate(zip(*(values[s] for s in SPLITS), strict=True)):
                writer.writerow(
                    (*cell, seed, train, test, results[cell.label(seed)].diverged or "")
                )


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


if __name__ == "__main__":
    launch(sensitivity)
