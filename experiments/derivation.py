"""Backpropagation by hand on a trained net, and the sum that a residual net is.

    python -m experiments.derivation
    python -m experiments.derivation --dataset cifar10 --depth 110 --steps 64000
    python -m experiments.derivation --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

The backward pass of convolution, BatchNorm, ReLU and addition as one derives them on paper
(`jresnet.analysis.derivation`), and `h_L = h_0 + sum F`: He et al. 2016 (arXiv:1603.05027,
equations 3 to 5). The second line takes the depth at which the paper compares its nets.
"""

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jresnet.analysis.backpropagation import gradients
from jresnet.analysis.chain import chain
from jresnet.analysis.derived_block import flattened
from jresnet.analysis.expansion import expand
from jresnet.data.normalisation import Statistics
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.derivation import expansion_shares, gradient_agreement
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.subjects import Subject, given, trained


def derivation(
    dataset: str = "digits",
    depth: int | None = None,
    preactivation: bool | None = None,
    steps: int = 120,
    examples: int = 32,
    weights: Path | None = None,
    net: str = "cifar_resnet",
    statistics: Statistics = "dataset",
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """The hand-derived gradients of a trained net against jax.grad, and its recursive expansion.

    Both in float64, on images of the training split. Gradients are those of training, through the
    batch's statistics: of the mean cross-entropy by every parameter and by the images. The
    expansion is that of the net in evaluation: what entered the first block, every branch, and in
    post-activation nets what each ReLU behind an addition changed, add up to the last output.

    Expected: no difference above 1e-10, and an expansion exact to rounding.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depth: layers of the net, 6n+2; 20 where it is trained.
        preactivation: the ordering of He et al. 2016; by default where the net is trained.
        steps: training steps, by the recipe of He et al. 2015.
        examples: images of the training split.
        weights: a checkpoint in torch's layout or a run's folder, to be taken instead of training.
        net: zoo function the weights are for.
        statistics: what the images of weights in a file were normalised by; a run knows its own.
        learning_rate: peak rate of training.
        batch_size: examples a training step.
        seed: of training and of the draw of images.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    runs: dict[str, Experiment] = {}
    if weights is not None:
        arguments = {"depth": depth, "preactivation": preactivation}
        subject = given(weights, net, arguments, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, examples, seed, subject, runs))
    depth = 20 if depth is None else depth
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    model = zoo.cifar_resnet(
        depth, data.info().num_classes, preactivation=preactivation is not False
    )
    runs[f"ResNet-{depth}"] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, examples, seed, None, runs))


def conclude(
    examples: int,
    seed: int,
    subject: Subject | None,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Compares, draws, writes gradients.csv, expansion.csv and the report; the closing line."""
    subject = subject or next(iter(trained(runs, results).values()))
    batch = subject.examples("train", examples, seed)
    with jax.enable_x64(True):
        agreement = compare(subject, batch)
        variables = double(subject.variables)
        images = double(subject.normalize(jnp.asarray(batch["image"])))
        expansions = expand(chain(subject.model), variables, images)
        longest = max(expansions, key=lambda found: len(found.blocks))
        shares = [np.asarray(share) for share in longest.shares()]
        error = max(float(found.error()) for found in expansions)

    headers = ("parameter", "values", "largest gradient", "largest difference")
    start, branches, corrections = shares
    terms: list[tuple[object, ...]] = [("h_0", float(start), 0.0)]
    terms += zip(longest.blocks, branches.tolist(), corrections.tolist(), strict=True)
    for name, lines in (
        ("gradients.csv", [headers, *agreement]),
        ("expansion.csv", [("term", "share of branch", "share of relu"), *terms]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(lines)

    worst = sorted(agreement, key=lambda row: -row[3])
    print(format_table(headers, worst[:5]))
    difference = worst[0][3]
    verdict = "equal to 1e-10" if difference < 1e-10 else "NOT equal to 1e-10"
    total = sum(row[1] for row in agreement)
    summary = (
        f"{subject.label}: gradients by hand and by jax.grad are {verdict}: of {total:,} entries "
        f"the largest difference is {difference:.1e}. h_L = h_0 + sum F holds to {error:.1e} of "
        f"h_L's largest entry over {len(longest.blocks)} blocks; h_0 makes up "
        f"{100 * float(start):.1f} % of h_L, the branches {100 * float(branches.sum()):.1f} %"
    )
    relu = 100 * float(corrections.sum())
    summary += f", the ReLUs behind additions {relu:.1f} %." if np.any(corrections) else "."
    figures = [
        save(
            gradient_agreement(*(list(column) for column in columns(agreement, 0, 2, 3))),
            folder / "gradients.png",
        ),
        save(
            expansion_shares(longest.blocks, float(start), branches.tolist(), corrections.tolist()),
            folder / "expansion.png",
        ),
    ]
    sections = [
        Section(
            "Gradients by hand",
            [
                Figure(figures[0], AGREEMENT, summary),
                Table(headers, worst[:10], "The ten with the largest difference; all in the CSV."),
            ],
        ),
        Section("The net as a sum", [Figure(figures[1], SHARES, summary)]),
        Section("What is seen, and what the paper found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Backpropagation by hand", summary, sections, provenance)


AGREEMENT = (
    "Every parameter's gradient in float64, from the stem to the head, and the images' last. "
    "Differences of exactly zero are not drawn."
)
SHARES = (
    "How much of the last block's output comes from each term: <term, h_L> / <h_L, h_L>, over all "
    "images. The shares add up to 100 %."
)
PAPER = (
    "The hand-derived pass is the text of jresnet/analysis/derivation.py: each layer's formula, "
    "and the addition that hands its gradient to the shortcut and to the branch alike.",
    "He et al. 2016: with identity shortcuts and nothing behind the addition, any deeper feature "
    "is any shallower one plus a sum of branches, where a plain net is a product of matrices "
    "(equation 4); so the gradient has a term that reaches every block without passing any weight "
    "layer (equation 5). In the post-activation net of 2015 the ReLU behind each addition has a "
    "share of its own, which the paper neglects as an approximation.",
)


def compare(
    subject: Subject, batch: Mapping[str, np.ndarray]
) -> list[tuple[str, int, float, float]]:
    """For each parameter and the images: name, size, largest gradient, largest difference."""
    variables, labels = double(subject.variables), jnp.asarray(batch["label"])
    images = double(subject.normalize(jnp.asarray(batch["image"])))

    def loss(params: Any, images: jax.Array) -> jax.Array:
        logits, _ = subject.model.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    params, dimages = jax.jit(jax.grad(loss, (0, 1)))(variables["params"], images)
    expected = flattened({"params": params, "images": dimages})
    _, by_hand = gradients(chain(subject.model), variables, images, labels)
    found = flattened(by_hand)
    return [
        (
            name.removeprefix("params/"),
            value.size,
            float(abs(value).max()),
            float(abs(found[name] - value).max()),
        )
        for name, value in sorted(expected.items(), key=lambda item: _order(item[0]))
    ]


def _order(name: str) -> tuple[int, str]:
    """The stem first, then the stages, the head and the images."""
    marks = ("stem", "stage", "backbone/norm", "head", "images")
    return next(i for i, mark in enumerate(marks) if mark in name), name


def double(tree: Any) -> Any:
    """Arrays as float64."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), tree)


def columns(rows: list[Any], *numbers: int) -> list[tuple[Any, ...]]:
    """Some columns of rows."""
    return [tuple(row[number] for row in rows) for number in numbers]


if __name__ == "__main__":
    launch(derivation)
