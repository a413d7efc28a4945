"""Layer responses: residual nets change their signal less than plain nets, deeper ones least.

    python -m experiments.responses
    python -m experiments.responses --dataset cifar10 --depths 20 56 110 --steps 64000
    python -m experiments.responses --weights resnet20.npz --net cifar_resnet --depth 20 --dataset photos/

He et al. 2015 (arXiv:1512.03385, section 4.2, figure 7), on plain nets of 20 and 56 layers and
residual ones of 20, 56 and 110 trained on CIFAR-10.
"""

import csv
import functools
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.analysis.responses import responding, response_deviations
from jresnet.data.normalisation import Statistics
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, Study
from jresnet.models import zoo
from jresnet.recipes import he2015
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.figures import depth as depth_of
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text
from jresnet.report.responses import responses as draw
from jresnet.report.text import format_table
from jresnet.run.launch import launch
from jresnet.studies.subjects import Subject, given, trained


def responses(
    dataset: str = "digits",
    depths: tuple[int, ...] = (20, 56),
    steps: int = 240,
    examples: int | None = None,
    weights: Path | None = None,
    net: str = "cifar_resnet",
    depth: int | None = None,
    statistics: Statistics = "dataset",
    learning_rate: float = 0.1,
    batch_size: int = 128,
    seed: int = 0,
    data_dir: Path | None = None,
) -> Study:
    """Standard deviations of layer responses, plain and residual (He et al. 2015, figure 7).

    The response of a layer is the output of its 3x3 convolution and BatchNorm, before activation
    and addition (in pre-activation nets of the convolution), over all test examples, positions and
    channels.

    The paper found that residual nets respond less strongly than plain ones of the same depth,
    and deeper residual nets less than shallower ones: the residual functions are closer to zero
    than others, and with more layers each changes the signal less. It gives this as a figure.

    Args:
        dataset: digits (embedded), a TFDS name such as cifar10, or a folder of class folders.
        depths: layers of the nets that are trained, 6n+2.
        steps: training steps of each net, by the recipe of He et al. 2015.
        examples: how many test examples, drawn at random; by default all.
        weights: a checkpoint in torch's layout or a run's folder, to be taken instead of training.
        net: zoo function the weights are for.
        depth: its argument, for the CIFAR nets.
        statistics: what the images of weights in a file were normalised by; a run knows its own.
        learning_rate: peak rate of training.
        batch_size: examples a training step.
        seed: of training and of drawn examples.
        data_dir: where TFDS data sets lie; by default TFDS_DATA_DIR or ~/tensorflow_datasets.
    """
    runs: dict[str, Experiment] = {}
    if weights is not None:
        subject = given(weights, net, {"depth": depth}, dataset, statistics, data_dir)
        return Study(runs, functools.partial(conclude, examples, seed, [subject], runs))
    data = ImageData(dataset, batch_size, data_dir=data_dir, seed=seed)
    for layers in depths:
        residual = zoo.cifar_resnet(layers, data.info().num_classes)
        for kind, model in (("plain", zoo.plain(residual)), ("ResNet", residual)):
            runs[f"{kind}-{layers}"] = he2015(model, data, steps, seed, learning_rate)
    return Study(runs, functools.partial(conclude, examples, seed, [], runs))


def conclude(
    examples: int | None,
    seed: int,
    subjects: list[Subject],
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measures, draws, writes responses.csv and the report; returns the closing line."""
    subjects = subjects or list(trained(runs, results).values())
    found = {}
    for subject in subjects:
        backbone = subject.model.backbone
        select = responding(getattr(backbone, "preactivation", False))
        batches = subject.batches("test", examples, seed=seed)
        found[subject.label] = response_deviations(
            subject.model, subject.variables, batches, select
        )
    with (folder / "responses.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["net", "layer", "name", "standard deviation"])
        for label, layers in found.items():
            writer.writerows([label, i, *item] for i, item in enumerate(layers.items(), 1))
    values = {label: list(layers.values()) for label, layers in found.items()}
    rows = [row(label, layers) for label, layers in values.items()]
    print(format_table(HEADERS, rows))
    summary = statement(values)
    figure = draw(values, lambda net: net.startswith("plain"), depth_of)
    picture = save(figure, folder / "responses.png")
    sections = [
        Section("Responses", [Figure(picture, CAPTION, summary), Table(HEADERS, rows)]),
        Section("What is seen, and what the paper found", [Text((summary, *PAPER))]),
    ]
    return write_conclusion(folder, "Layer responses", summary, sections, provenance)


HEADERS = ("net", "layers", "mean deviation", "median", "lowest", "highest")
CAPTION = (
    "Standard deviation of each layer's response on test examples. Plain nets dashed. Above in the "
    "order of the net, below by magnitude."
)
PAPER = (
    "He et al. 2015 found residual nets' responses generally smaller than plain nets', and "
    "ResNet-110's smaller than ResNet-56's and ResNet-20's: residual functions are generally "
    "closer to zero, and the more layers, the less each of them changes the signal.",
)


def row(label: str, values: list[float]) -> tuple[object, ...]:
    """One line of the table."""
    numbers = (np.mean(values), np.median(values), min(values), max(values))
    return (label, len(values), *(f"{number:.3f}" for number in numbers))


def statement(found: Mapping[str, list[float]]) -> str:
    """The mean responses, and whether each of the paper's two orders is seen."""
    means = {label: float(np.mean(values)) for label, values in found.items()}
    listed = ", ".join(f"{value:.3f} in {label}" for label, value in means.items())
    sentences = [f"The layers' responses deviate by {listed} on average."]
    pairs = [
        (means[label], means[other])
        for label in means
        if label.startswith("ResNet-") and (other := label.replace("ResNet", "plain")) in means
    ]
    if pairs:
        fewer = sum(residual < plain for residual, plain in pairs)
        sentences.append(
            f"At {fewer} of {len(pairs)} depths the residual net's are smaller than the plain "
            "net's; in the paper at all."
        )
    residual = {int(depth_of(k)): v for k, v in means.items() if k.startswith("ResNet-")}
    if len(residual) > 1:
        ordered = [residual[depth] for depth in sorted(residual)]
        falls = all(b < a for a, b in itertools.pairwise(ordered))
        sentences.append(
            f"With depth the residual nets' responses {'fall, as' if falls else 'do not fall, unlike'} "
            "in the paper."
        )
    return " ".join(sentences)


if __name__ == "__main__":
    launch(responses)
