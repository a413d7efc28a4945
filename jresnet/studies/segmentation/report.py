"""Table, figures and sentences of the study of label maps."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.segmentation.figures import class_bars, confusion_shares
from jresnet.studies.segmentation.measure import confusion, scores_in
from jresnet.studies.segmentation.nets import Build

HEADERS = (
    "net", "start", "parameters", "mean IoU", "mean Dice", "pixel accuracy (%)", "mean accuracy (%)", "seconds"
)  # fmt: skip
PICTURES = 9  # examples of the test split: the worst, those in the middle and the best
AFTER = (
    "After the last step, over every labelled pixel of every whole image of the test split together; "
    "means over the classes that occur there; with several seeds mean and standard deviation."
)

TESTED = "The same weights (of the first seed) tested at another output stride."
WEIGHED = (
    "Weights of the classes in the loss, a power of median frequency balancing over the training split: "
    "the rarer a class, the larger (arXiv:1411.4734)."
)
FURTHER = {
    "views/mean_iou": "mean IoU of the views",
    "views/mean_dice": "mean Dice of the views",
    "mean_hausdorff95": "Hausdorff 95",
    "mean_surface_distance": "surface distance",
    "mean_missed": "missed",
}
MEASURED = (
    "Of the views: probabilities averaged over scales and mirror images. Distances between boundaries "
    "are in pixels, of volumes in millimetres, means over the images that have a class in truth and prediction, and then over "
    "classes; missed is the share of images that have it in only one of the two."
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Facts for the report beside the runs' results.

    - nets: how each net is built.
    - start: what the backbones start from.
    - weights: weight of each class in the loss; None for none.
    - test_output_stride: another one to test the trained nets at; None for none.
    """

    nets: Mapping[str, Build]
    start: str = "fresh"
    weights: tuple[float, ...] | None = None
    test_output_stride: int | None = None


def conclude(
    runs: Mapping[str, Experiment],
    facts: Facts,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called net-seed."""
    nets = by_net(results)
    rows = [row(net, facts.start, [results[i] for i in labels]) for net, labels in nets.items()]
    firsts = {net: labels[0] for net, labels in nets.items()}
    matrices = {net: confusion(runs[label], results[label]) for net, label in firsts.items()}
    classes = runs[next(iter(runs))].task.classes  # type: ignore[attr-defined]
    net, matrix = next(iter(matrices.items()))
    shares = dict(zip(classes, (matrix.sum(1) / max(1, matrix.sum())).tolist(), strict=True))
    scores = {
        name: {c: results[label].metrics["test"].get(f"iou/{c}", np.nan) for c in classes}
        for name, label in firsts.items()
    }
    tables = [Table(HEADERS, rows, AFTER), *further(nets, results)]
    tables += tested(runs, facts, firsts, results)
    if facts.weights is not None:
        weighed = [
            (name, f"{shares[name]:.2%}", f"{weight:g}")
            for name, weight in zip(classes, facts.weights, strict=True)
        ]
        tables.append(Table(("class", "share of the test split", "weight"), weighed, WEIGHED))
    bars = "IoU of each class; in brackets its share of the labelled pixels of the test split."
    confused = f"What {net} takes each class for: each row is a class, and adds up to 100 %."
    examples = gallery.section(results[firsts[net]].folder)
    sections = [
        *([dataclasses.replace(examples, title=f"Pictures, by {net}")] if examples else []),
        Section("Result", tables),
        Section(
            "Classes",
            [
                picture(class_bars(scores, shares), folder / "iou.png", bars),
                picture(confusion_shares(matrix, classes), folder / "confusion.png", confused),
            ],
        ),
    ]
    summary = statement(nets, results)
    return conclude_study(folder, "A class for every pixel", summary, sections, provenance)


def further(nets: Mapping[str, list[str]], results: Mapping[str, Result]) -> list[Table]:
    """A table of the scores that were asked for beside the usual ones, if there are any."""
    tests = {
        net: [results[label].metrics["test"] for label in labels] for net, labels in nets.items()
    }
    names = [
        name for name in FURTHER if all(name in test for each in tests.values() for test in each)
    ]
    if not names:
        return []
    rows = [
        (net, *(f"{np.mean([test[name] for test in each]):.3f}" for name in names))
        for net, each in tests.items()
    ]
    return [Table(("net", *(FURTHER[name] for name in names)), rows, MEASURED)]


def tested(
    runs: Mapping[str, Experiment],
    facts: Facts,
    firsts: Mapping[str, str],
    results: Mapping[str, Result],
) -> list[Table]:
    """A table of each net's scores at the other output stride, if there is one."""
    stride = facts.test_output_stride
    if stride is None:
        return []
    names = ["mean_iou", "mean_dice", "pixel_accuracy"]
    rows = []
    for net, label in firsts.items():
        task: Any = runs[label].task
        task = dataclasses.replace(task, model=facts.nets[net](stride))
        scores = scores_in(runs[label], results[label], task)
        names += [name for name in FURTHER if name in scores and name not in names]
        rows.append((net, str(stride), *(f"{scores[name]:.3f}" for name in names)))
    shown = [FURTHER.get(name, name.replace("_", " ")) for name in names]
    return [Table(("net", "output stride", *shown), rows, TESTED)]


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
