"""Residual nets that start as the identity, with and without BatchNorm.

    python -m experiments.identity_init
    python -m experiments.identity_init --dataset cifar10 --depths 56 110 --steps 64000

Zero gamma: Goyal et al. 2017 (arXiv:1706.02677, section 5.1). SkipInit: De & Smith 2020
(arXiv:2002.10444). Fixup: Zhang et al. 2019 (arXiv:1901.09321), whose ResNet-110 without norms has
7.24 % error on CIFAR-10 against 6.61 % with BatchNorm, and 27.6 % (ResNet-50) on ImageNet. He's
initialisation: He et al. 2015 (arXiv:1502.01852). The second line is at the papers' depths.
"""

import csv
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.chain import chain
from jresnet.analysis.identity import branch_changes
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.models.fixup import RATES, fixup
from jresnet.models.gates import SkipInit
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part
from jresnet.recipes import he2015
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.figures import save, training_curves
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.lines import Line, line_panels
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.train.optim import by_layer

Scheme = Literal["BatchNorm", "zero gamma", "He", "SkipInit", "Fixup"]
SCHEMES: tuple[Scheme, ...] = ("BatchNorm", "zero gamma", "He", "SkipInit", "Fixup")


def identity_init(
    dataset: str = "digits",
    depths: tuple[int, ...] = (56,),
    schemes: tuple[Scheme, ...] = SCHEMES,
    steps: int = 80,
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """Zero gamma, SkipInit, Fixup and He: F(x) = 0 at the start, and training without BatchNorm.

    Residual nets by the recipe of He et al. 2015 (its rate, decay and warm-up for every scheme).
    With BatchNorm: as usual, and with the last scale of every branch at zero. Without any norm:
    He's initialisation alone; SkipInit, one scalar from zero on every branch; Fixup, whose biases
    and multipliers train at a tenth of the rate. The convolutions of He and SkipInit have biases.
    The papers tune rates and add mixup for Fixup; here one recipe serves all.

    A training whose loss becomes infinite is reported as such.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depths: layers of the nets, 6n+2.
        schemes: which to train.
        steps: training steps of each net.
        learning_rate: peak rate.
        batch_size: examples a step.
        seed: of initialisation and training.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    classes = data.info().num_classes
    runs = {}
    for depth in depths:
        for scheme in schemes:
            net = built(scheme, zoo.cifar_resnet(depth, classes, bottleneck=False))
            made = he2015(net, data, steps, seed, learning_rate)
            if scheme == "Fixup":
                made = dataclasses.replace(made, optimizer=by_layer(made.optimizer, RATES))
            runs[f"{scheme}-{depth}"] = dataclasses.replace(made, may_diverge=True)
    return Study(runs, functools.partial(conclude, runs, seed))


def built(scheme: Scheme, net: Classifier) -> Classifier:
    """The net with a scheme's parts."""
    backbone: Any = net.backbone
    bare = {"norm": NoNorm, "conv": part(Conv, use_bias=True)}
    if scheme == "Fixup":
        return fixup(net)
    fields: dict[str, Any] = {
        "BatchNorm": {},
        "zero gamma": {"zero_init_residual": True},
        "He": bare,
        "SkipInit": {**bare, "gate": SkipInit},
    }[scheme]
    return net.clone(backbone=backbone.clone(**fields))


def conclude(
    runs: Mapping[str, Experiment],
    seed: int,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measures the start, draws, writes start.csv and nets.csv and the report."""
    start = {label: at_start(experiment, seed) for label, experiment in runs.items()}
    rows = [row(label, results[label], *start[label]) for label in runs]
    print(format_table(HEADERS, rows))
    blocks = [
        (label, i, float(change), float(size))
        for label, (changes, sizes) in start.items()
        for i, (change, size) in enumerate(zip(changes, sizes, strict=True), 1)
    ]
    for name, lines in (
        ("nets.csv", [HEADERS, *rows]),
        ("start.csv", [("net", "block", "change by the branch", "output rms"), *blocks]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)

    curves: dict[str, Any] = {}
    sizes: dict[str, dict[str, Line]] = {}
    for label, result in results.items():
        scheme, depth = label.rsplit("-", 1)
        values = start[label][1].tolist()
        sizes.setdefault(f"{depth} layers", {})[scheme] = Line(range(1, len(values) + 1), values)
        if not result.diverged:
            curves.setdefault(f"{depth} layers", {})[scheme] = [read_metrics(result.folder)]
    figures = [
        save(
            line_panels(sizes, "block", "rms of the block's output (log scale)", log=True),
            folder / "start.png",
        )
    ]
    shown = [Figure(figures[0], START, START)]
    training: list[Figure | Table] = []
    if curves:
        figure = training_curves(curves, key="loss", ylabel="loss (nats)", scale=1.0, y_max=TOP)
        training.append(Figure(save(figure, folder / "curves.png"), CURVES, CURVES))
    summary = statement(results, start)
    sections = [
        Section("At the start", shown),
        Section("Training", [*training, Table(HEADERS, rows, AFTER)]),
        Section("What is seen, and what the papers found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Identity initialisation", summary, sections, provenance)


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
    "batch. Where branches start at zero the signal only thins out with subsampling and "
    "zero-padding; without norms He's initialisation adds each branch to what came before."
)
CURVES = (
    "Loss against training steps, training thin and dashed, test bold; of the nets whose loss "
    "stayed finite. The axis ends at 6 nats."
)
TOP = 6.0  # nats: a net that nearly diverged must not take the axis of the others with it
AFTER = "After the last step, in evaluation over every example of the split."
PAPER = (
    "Goyal et al. 2017 start the last scale of each branch at zero: ResNet-50 on ImageNet goes "
    "from 23.84 ± 0.18 to 23.60 ± 0.12 % error at batch 256, and from 24.11 to 23.74 % at 8192. "
    "Zhang et al. 2019 (Fixup) train without norms as deep and at the same rates: 7.24 % with "
    "ResNet-110 on CIFAR-10 against 6.61 % with BatchNorm. De & Smith 2020 train nets of up to "
    "1000 layers with SkipInit and explain BatchNorm's help by its scaling branches down by about "
    "1/sqrt(l) at the start, which biases residual blocks to the identity.",
    "None of these has a mechanism that normalises as the net trains; the rate that they stand is "
    "where they differ from BatchNorm, and a recipe tuned for BatchNorm is not kind to them.",
)


def at_start(experiment: Experiment, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`branch_changes` of a net as its training starts, on the first 64 training images."""
    task: Any = experiment.task
    batch = next(experiment.data.examples("train", (0, 1)))
    images = task.normalize(jnp.asarray(batch["image"][:64]))
    key = jax.random.split(jax.random.key(seed))[0]
    variables = jax.jit(task.init)(key, {"image": jnp.asarray(batch["image"][:2])})
    changes, sizes = branch_changes(chain(task.model), variables, images)
    return np.asarray(changes), np.asarray(sizes)


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
    """Which start as the identity, and how each trained."""
    zero = [label for label, (changes, _) in start.items() if changes.max() == 0]
    parts = [
        f"{label} {result.diverged or ''}".strip().replace("the loss is", "diverged: loss")
        if result.diverged
        else f"{label} {100 * result.metrics['test']['error']:.2f} %"
        for label, result in results.items()
    ]
    named = ", ".join(zero) if zero else "none"
    return f"F(x) = 0 in every block at the start: {named}. Test error: {', '.join(parts)}."


if __name__ == "__main__":
    launch(identity_init)
