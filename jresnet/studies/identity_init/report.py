"""Tables and sentences of the study of identity initialisation."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Figure, Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.identity_init.figures import curves_figure, start_figure
from jresnet.studies.identity_init.measure import at_start

HEADERS = (
    "net",
    "parameters",
    "largest change by a branch at the start (%)",
    "rms of the last block at the start",
    "train loss",
    "train error (%)",
    "test error (%)",
    "seconds",
)
START = (
    "Root mean square of every block's output before training, in training mode on a training "
    "batch. Where branches start at zero, only subsampling and zero-padding make the signal "
    "smaller; without norms He's initialisation adds each branch to what came before."
)
CURVES = (
    "Loss against training steps, training thin and dashed, test bold; of the nets whose loss "
    "stayed finite. The axis ends at 6 nats."
)
AFTER = "After the last step, in evaluation over every example of the split."
PAPER = (
    "Goyal et al. 2017 start the last scale of each branch at zero: ResNet-50 on ImageNet goes "
    "from 23.84 ± 0.18 to 23.60 ± 0.12 % error at batch 256, and from 24.11 to 23.74 % at 8192. "
    "Zhang et al. 2019 (Fixup) train without norms as deep and at the same rates: 7.24 % with "
    "ResNet-110 on CIFAR-10 against 6.61 % with BatchNorm. De & Smith 2020 train nets of up to "
    "1000 layers with SkipInit and explain BatchNorm's help by its scaling branches down by about "
    "1/sqrt(l) at the start, which biases residual blocks to the identity.",
    "None of these normalises while the net trains. They tolerate lower rates than BatchNorm does, "
    "and a recipe that was tuned for BatchNorm is at their disadvantage.",
)


def conclude(
    runs: Mapping[str, Experiment],
    seed: int,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure the start, draw, write start.csv, nets.csv and the report.

    Args:
        runs: the trainings, called scheme-depth.
        seed: seed of their initialisation.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    start = {label: at_start(experiment, seed) for label, experiment in runs.items()}
    rows = [row(label, results[label], *start[label]) for label in runs]
    blocks = [
        (label, i, float(change), float(size))
        for label, (changes, sizes) in start.items()
        for i, (change, size) in enumerate(zip(changes, sizes, strict=True), 1)
    ]
    write_csv(folder / "nets.csv", HEADERS, rows)
    write_csv(folder / "start.csv", ("net", "block", "change by the branch", "output rms"), blocks)
    sizes = {label: start[label][1] for label in results}
    shown = picture(start_figure(sizes), folder / "start.png", START)
    training: list[Figure | Table] = []
    if any(not result.diverged for result in results.values()):
        training.append(picture(curves_figure(results), folder / "curves.png", CURVES))
    summary = statement(results, start)
    sections = [
        Section("At the start", [shown]),
        Section("Training", [*training, Table(HEADERS, rows, AFTER)]),
    ]
    return conclude_study(folder, "Identity initialisation", summary, sections, provenance, PAPER)


def row(label: str, result: Result, changes: np.ndarray, sizes: np.ndarray) -> tuple[object, ...]:
    """One line of the table."""
    at = (f"{100 * changes.max():.3g}", f"{sizes[-1]:.3g}")
    if result.diverged:
        return (label, result.parameters, *at, "diverged", None, None, f"{result.seconds:.0f}")
    train, test = result.metrics["train"], result.metrics["test"]
    errors = (f"{100 * split['error']:.2f}" for split in (train, test))
    return (label, result.parameters, *at, f"{train['loss']:.4f}", *errors, f"{result.seconds:.0f}")


def statement(
    results: Mapping[str, Result], start: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> str:
    """The nets that start as the identity, and the test error of each."""
    zero = [label for label, (changes, _) in start.items() if changes.max() == 0]
    parts = [
        f"{label} {result.diverged or ''}".strip().replace("the loss is", "diverged: loss")
        if result.diverged
        else f"{label} {100 * result.metrics['test']['error']:.2f} %"
        for label, result in results.items()
    ]
    named = ", ".join(zero) if zero else "none"
    return f"F(x) = 0 in every block at the start: {named}. Test error: {', '.join(parts)}."
