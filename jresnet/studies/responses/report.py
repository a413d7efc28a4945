"""The table, figure and sentences about layer responses."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.figures import depth as depth_of
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.responses.figures import responses as draw
from jresnet.studies.responses.measure import measure
from jresnet.studies.subjects import Subject, trained

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


def conclude(
    examples: int | None,
    seed: int,
    subjects: list[Subject],
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Measure, draw, write responses.csv and the report.

    Args:
        examples: number of test examples; None for all.
        seed: seed of their draw.
        subjects: trained nets to examine; without them, those of `runs`.
        runs: the trainings, if there were any.
        folder: where everything is written.
        results: results of the trainings.
        provenance: versions and the like, for the page.

    Returns:
        The closing line, and the page.
    """
    subjects = subjects or list(trained(runs, results).values())
    deviations = {subject.label: measure(subject, examples, seed) for subject in subjects}
    write_csv(
        folder / "responses.csv",
        ["net", "layer", "name", "standard deviation"],
        (
            [label, i, *item]
            for label, layers in deviations.items()
            for i, item in enumerate(layers.items(), 1)
        ),
    )
    values = {label: list(layers.values()) for label, layers in deviations.items()}
    rows = [row(label, layers) for label, layers in values.items()]
    summary = statement(values)
    drawing = draw(values, lambda net: net.startswith("plain"), depth_of)
    figure = picture(drawing, folder / "responses.png", CAPTION, summary)
    sections = [
        Section("Responses", [figure, Table(HEADERS, rows)]),
    ]
    return conclude_study(folder, "Layer responses", summary, sections, provenance, PAPER)


def row(label: str, values: list[float]) -> tuple[object, ...]:
    """One line of the table."""
    numbers = (np.mean(values), np.median(values), min(values), max(values))
    return (label, len(values), *(f"{number:.3f}" for number in numbers))


def statement(deviations: Mapping[str, list[float]]) -> str:
    """The mean responses, and whether they follow the two orders of the paper."""
    means = {label: float(np.mean(values)) for label, values in deviations.items()}
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
