"""Table, figures and sentences of the study of label maps."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.segmentation.figures import confusion_shares, iou_bars
from jresnet.studies.segmentation.measure import confusion
from jresnet.studies.segmentation.nets import Build
from jresnet.studies.segmentation.trainings import Protocol
from jresnet.tasks.map_scores import scores_of

HEADERS = (
    "net", "start", "parameters", "mean IoU", "mean Dice", "pixel accuracy (%)", "mean accuracy (%)", "seconds"
)  # fmt: skip
AFTER = (
    "After the last step, over every labelled pixel of every whole image of the test split together; "
    "means over the classes that occur there; with several seeds mean and standard deviation."
)
TESTED = (
    "The same weights (of the first seed) tested in other ways. Mirrored: every scale is also seen "
    "mirrored, and the probabilities of all views are averaged."
)
WEIGHED = (
    "Weights of the classes in the loss, by median frequency balancing over the training split: the "
    "rarer a class, the larger (arXiv:1411.4734)."
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the report beside the runs' results.

    - nets: how each net is built.
    - start: what the backbones start from.
    - weights: weight of each class in the loss; None for none.
    - tests: further tests of the trained nets.
    """

    nets: Mapping[str, Build]
    start: str = "fresh"
    weights: tuple[float, ...] | None = None
    tests: tuple[Protocol, ...] = ()


def conclude(
    runs: Mapping[str, Experiment],
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called net-seed."""
    nets: dict[str, list[str]] = {}
    for label in results:
        nets.setdefault(label.rsplit("-seed", 1)[0], []).append(label)
    rows = [row(net, facts.start, [results[i] for i in labels]) for net, labels in nets.items()]
    firsts = {net: labels[0] for net, labels in nets.items()}
    matrices = {net: confusion(runs[label], results[label]) for net, label in firsts.items()}
    classes = runs[next(iter(runs))].task.classes  # type: ignore[attr-defined]
    net, matrix = next(iter(matrices.items()))
    shares = dict(zip(classes, (matrix.sum(1) / max(1, matrix.sum())).tolist(), strict=True))
    scores = {
        name: {c: results[label].metrics["test"].get(f"iou/{c}", 0.0) for c in classes}
        for name, label in firsts.items()
    }
    bars = "IoU of each class; in brackets its share of the labelled pixels of the test split."
    confused = f"What {net} takes each class for: each row is a class, and adds up to 100 %."
    tables = [Table(HEADERS, rows, AFTER)]
    if facts.tests:
        tables.append(tested(runs, facts, firsts, results))
    if facts.weights is not None:
        weighed = [
            (name, f"{shares[name]:.2%}", f"{weight:g}")
            for name, weight in zip(classes, facts.weights, strict=True)
        ]
        tables.append(Table(("class", "share of the test split", "weight"), weighed, WEIGHED))
    sections = [
        Section("Result", tables),
        Section(
            "Classes",
            [
                picture(iou_bars(scores, shares), folder / "iou.png", bars),
                picture(confusion_shares(matrix, classes), folder / "confusion.png", confused),
            ],
        ),
    ]
    summary = statement(nets, results)
    return conclude_study(folder, "A class for every pixel", summary, sections, provenance)


def tested(
    runs: Mapping[str, Experiment],
    facts: Facts,
    firsts: Mapping[str, str],
    results: Mapping[str, Result],
) -> Table:
    """Scores of each net in each further test."""
    rows = []
    for net, label in firsts.items():
        for test in facts.tests:
            task = test.task(runs[label].task, facts.nets[net])  # type: ignore[arg-type]
            scores = scores_of(confusion(runs[label], results[label], task))
            values = scores["mean_iou"], scores["mean_dice"]
            right = f"{100 * scores['pixel_accuracy']:.1f}"
            rows.append((net, str(test), *(f"{value:.3f}" for value in values), right))
    headers = ("net", "test", "mean IoU", "mean Dice", "pixel accuracy (%)")
    return Table(headers, rows, TESTED)


def row(net: str, start: str, trained: list[Result]) -> tuple[object, ...]:
    """One line of the table."""

    def mean(metric: str, scale: float, digits: int) -> str:
        values = np.array([scale * result.metrics["test"][metric] for result in trained])
        spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{values.mean():.{digits}f}{spread}"

    return (
        net,
        start,
        f"{trained[0].parameters:,}",
        mean("mean_iou", 1, 3),
        mean("mean_dice", 1, 3),
        mean("pixel_accuracy", 100, 1),
        mean("mean_accuracy", 100, 1),
        f"{sum(result.seconds for result in trained):.0f}",
    )


def statement(nets: Mapping[str, list[str]], results: Mapping[str, Result]) -> str:
    """Mean IoU and pixel accuracy of each net in a sentence."""
    parts = []
    for net, labels in nets.items():
        iou, accuracy = (
            float(np.mean([results[label].metrics["test"][metric] for label in labels]))
            for metric in ("mean_iou", "pixel_accuracy")
        )
        parts.append(f"{net} has a mean IoU of {iou:.3f} and {accuracy:.1%} of the pixels right")
    return "; ".join(parts) + "."
