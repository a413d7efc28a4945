"""Lesions: a residual net loses a block and hardly notices, a plain net is destroyed.

    python -m experiments.lesion
    python -m experiments.lesion --dataset cifar10 --depth 110 --steps 64000 --repeats 100
    python -m experiments.lesion --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

Veit et al. 2016 (arXiv:1605.06431, section 4, figures 3 and 5), on a pre-activation ResNet-110 of
54 blocks and on VGG-15, trained on CIFAR-10. The second line is the paper's own net.
"""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from jresnet.data.normalisation import Statistics
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.lesions import amounts, deletions
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.lesion import Settings, Trial, errors, measure, of, transitions
from jresnet.studies.subjects import Subject, given, trained


def lesion(
    dataset: str = "digits",
    depth: int | None = None,
    preactivation: bool | None = None,
    steps: int = 240,
    repeats: int = 10,
    split: Literal["train", "test"] = "test",
    examples: int | None = None,
    weights: Path | None = None,
    net: str = "cifar_resnet",
    statistics: Statistics = "dataset",
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """Blocks deleted from and swapped in a trained residual net and its plain twin (Veit 2016, 4).

    Nothing is trained again. A deleted block passes on what its shortcut makes of its input; in a
    plain net, which has none, the input itself, subsampled and padded with zero channels where the
    shape changes (the paper deletes single layers of VGG instead). Each block is deleted alone;
    then several at random; then pairs of blocks of one stage and shape change places, and the
    order is measured by Kendall's rank correlation.

    The paper found: any one of the 54 blocks but those that change the shape can go with hardly a
    change of error, while any layer taken from VGG-15 brings its error to chance; error rises
    smoothly with the number of deleted blocks and with the disorder. It gives these as figures.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depth: layers of the nets, 6n+2; 32 where they are trained.
        preactivation: the ordering of He et al. 2016; by default where the nets are trained.
        steps: training steps of each net, by the recipe of He et al. 2015.
        repeats: random draws for each number of blocks deleted and of pairs swapped.
        split: which examples measure the error.
        examples: how many of them, drawn at random; by default all.
        weights: a checkpoint in torch's layout or a run's folder, to be taken instead of training.
        net: zoo function the weights are for.
        statistics: what the images of weights in a file were normalised by; a run knows its own.
        learning_rate: peak rate of training.
        batch_size: examples a training step.
        seed: of training and of every draw.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    settings = Settings(repeats, split, examples, seed)
    runs: dict[str, Experiment] = {}
    if weights is not None:
        arguments = {"depth": depth, "preactivation": preactivation}
        subject = given(weights, net, arguments, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, settings, [subject], runs))
    depth = 32 if depth is None else depth
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    residual = zoo.cifar_resnet(
        depth, data.info().num_classes, preactivation=preactivation is not False
    )
    for label, model in ((f"ResNet-{depth}", residual), (f"plain-{depth}", zoo.plain(residual))):
        runs[label] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, settings, [], runs))


def conclude(
    settings: Settings,
    subjects: list[Subject],
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measures, draws, writes lesions.csv and the report; returns the closing line."""
    subjects = subjects or list(trained(runs, results).values())
    trials = [trial for subject in subjects for trial in measure(subject, settings)]
    with (folder / "lesions.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([Trial._fields, *trials])
    summaries = [summary(subject, trials) for subject in subjects]
    rows = [found.row() for found in summaries]
    print(format_table(HEADERS, rows))

    ylabel = f"{settings.split} error (%)"
    names = [subject.label for subject in subjects]
    marks = transitions(subjects[0])
    single = deletions(
        {name: errors(trials, name, "one deleted") for name in names},
        {name: errors(trials, name, "intact")[0] for name in names},
        marks,
        "changes the shape",
        ylabel,
    )
    several = amounts(
        {n: [(t.amount, 100 * t.error) for t in of(trials, n, "deleted")] for n in names},
        {n: [(t.kendall_tau, 100 * t.error) for t in of(trials, n, "swapped")] for n in names},
        ylabel,
    )
    figures = [save(single, folder / "deleted.png"), save(several, folder / "amounts.png")]
    statement = " ".join(found.sentence() for found in summaries)
    sections = [
        Section("One block deleted", [Figure(figures[0], SINGLE, statement), Table(HEADERS, rows)]),
        Section("Several deleted, pairs swapped", [Figure(figures[1], SEVERAL, SEVERAL)]),
        Section("What is seen, and what the paper found", [Text((statement, *PAPER))]),
    ]
    return write_conclusion(folder, "Lesions", statement, sections, provenance)


HEADERS = (
    "net",
    "intact error (%)",
    "one deleted: median (%)",
    "highest (%)",
    "at block",
    "half deleted: median (%)",
    "lowest τ",
    "error there (%)",
)
SINGLE = "Error without one block. Dotted: the intact net. Shaded: blocks that change the shape."
SEVERAL = (
    "Left: error against the number of blocks deleted at random, medians, shaded from lowest to "
    "highest. Right: error against the order of blocks after random swaps, every trial; 1 is the "
    "net's own order."
)
PAPER = (
    "Veit et al. 2016 deleted each of the 54 blocks of a ResNet-110 and saw hardly a change of "
    "error but at the two blocks where the resolution changes; any layer taken from VGG-15 brought "
    "its error to chance (90 %). With more blocks deleted, and with more of them swapped, the "
    "error of the residual net rose smoothly. These are given as figures, not as numbers.",
    "The explanation: of the 2^n paths through n blocks, deleting one block removes half and "
    "leaves the other half as they were; a plain net has one path, and every block lies on it.",
)


class Summary(NamedTuple):
    """What lesions did to one net; errors in per cent."""

    net: str
    chance: float
    intact: float
    single: list[float]
    transitions: list[int]
    half: float
    disordered: tuple[float, float] | None  # Kendall's tau, error

    def row(self) -> tuple[object, ...]:
        worst = int(np.argmax(self.single))
        tau, error = self.disordered or (None, None)
        numbers = (self.intact, float(np.median(self.single)), self.single[worst])
        return (
            self.net,
            *(f"{number:.2f}" for number in numbers),
            f"{worst + 1}{' (changes the shape)' if worst in self.transitions else ''}",
            f"{self.half:.2f}",
            "–" if tau is None else f"{tau:.2f}",
            "–" if error is None else f"{error:.2f}",
        )

    def sentence(self) -> str:
        median, worst = float(np.median(self.single)), int(np.argmax(self.single))
        share = (median - self.intact) / max(self.chance - self.intact, 1e-9)
        word = "hardly changes" if share < 0.05 else "harms" if share < 0.5 else "destroys"
        kind = ", which changes the shape" if worst in self.transitions else ""
        return (
            f"Deleting one block {word} {self.net}: error from {self.intact:.2f} % to a median of "
            f"{median:.2f} %, at most {self.single[worst]:.2f} % without block {worst + 1}{kind}."
        )


def summary(subject: Subject, trials: list[Trial]) -> Summary:
    """Of one subject's trials."""
    deleted = of(trials, subject.label, "deleted")
    most = max(trial.amount for trial in deleted)
    swaps = of(trials, subject.label, "swapped")
    last = min(swaps, key=lambda trial: trial.kendall_tau, default=None)
    return Summary(
        subject.label,
        100 * (1 - 1 / subject.model.num_classes),
        errors(trials, subject.label, "intact")[0],
        errors(trials, subject.label, "one deleted"),
        transitions(subject),
        float(np.median([100 * trial.error for trial in deleted if trial.amount == most])),
        None if last is None else (last.kendall_tau, 100 * last.error),
    )


if __name__ == "__main__":
    launch(lesion)
