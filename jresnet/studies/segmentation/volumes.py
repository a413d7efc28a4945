"""Table, figures and sentences of the study of volumes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.segmentation.figures import class_bars, confusion_shares
from jresnet.studies.segmentation.measure import confusion
from jresnet.studies.segmentation.report import further
from jresnet.tasks.map_scores import scores_of

BINS = 256
INTENSITY = "intensity alone"
AFTER = (
    "Dice after the last step, over all labelled voxels of the test split together, not a mean over "
    "volumes; with several seeds mean and standard deviation."
)
CONFUSED = "What {} takes each class for: each row is a class, and adds up to 100 %."
HEAD = (
    "The data is one head, the average of 152. It is symmetric, so the nets learn on the back of "
    "its left half and are tested on the front of the same half. "
    f'"{INTENSITY}" gives every voxel the class that its value most often has in the training part.'
)


def conclude(
    runs: Mapping[str, Experiment] | None,
    classes: Sequence[str],
    by_intensity: ImageData | None,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called net-seed.

    Args:
        runs: the trainings, read for a confusion of classes; None for none.
        classes: their names.
        by_intensity: the data for a comparison with the intensity of single voxels, if any.
        folder: of the study.
        results: of the trainings, by name.
        provenance: versions and the like, for the page.
    """
    nets = by_net(results)
    scores = {
        net: [results[label].metrics["test"] for label in labels] for net, labels in nets.items()
    }
    matrix = None if by_intensity is None else intensity_confusion(by_intensity, len(classes))
    if matrix is not None:
        scores[INTENSITY] = [scores_of(matrix, classes)]
    organs = classes[1:]
    rows = []
    for net, each in scores.items():
        trained = [results[label] for label in nets.get(net, ())]
        cells = [_mean([one.get(f"dice/{name}", np.nan) for one in each]) for name in organs]
        rows.append(
            (
                net,
                f"{trained[0].parameters:,}" if trained else None,
                *cells,
                f"{sum(result.seconds for result in trained):.0f}" if trained else None,
            )
        )
    headers = ("method", "parameters", *(f"Dice {name}" for name in organs), "seconds")
    caption = AFTER if matrix is None else f"{AFTER} {HEAD}"
    first = {
        net: {name: each[0].get(f"dice/{name}", np.nan) for name in organs}
        for net, each in scores.items()
    }
    shares = None
    if matrix is not None:
        each = (matrix.sum(1) / matrix.sum()).tolist()
        shares = {name: each[classes.index(name)] for name in organs}
    bars = class_bars(first, shares, "Dice")
    about = "Dice of each class" + ("; in brackets its share of the voxels." if shares else ".")
    figures = [picture(bars, folder / "dice.png", about)]
    if runs is not None:
        net, labels = next(iter(nets.items()))
        taken = confusion_shares(confusion(runs[labels[0]], results[labels[0]]), classes)
        figures.append(picture(taken, folder / "confusion.png", CONFUSED.format(net)))
    sections = [
        Section("Result", [Table(headers, rows, caption), *further(nets, results)]),
        Section("Classes", figures),
    ]
    for net, labels in nets.items():
        if examples := gallery.section(results[labels[0]].folder):
            sections.append(Section(f"Examples: {net}", examples.items))
    summary = statement(organs, scores)
    return conclude_study(folder, "A class for every voxel", summary, sections, provenance)


def intensity_confusion(data: ImageData, count: int) -> np.ndarray:
    """Voxels of "test" by true class (row) and by the likeliest class of their value in "train".

    int64 `[count, count]`. Values of the first channel are counted in `BINS` bins of equal width.
    """
    known = data.source("train")[0]
    low, high = float(known["image"][..., 0].min()), float(known["image"][..., 0].max())

    def counts(example: Mapping[str, np.ndarray]) -> np.ndarray:
        share = (example["image"][..., 0] - low) / max(high - low, 1e-8)
        bins = np.clip((BINS * share).astype(int), 0, BINS - 1)
        counted = example["map"] != IGNORED
        cells = bins[counted] * count + example["map"][counted]
        return np.bincount(cells, minlength=BINS * count).reshape(BINS, count)

    learnt = counts(known)
    filled = np.flatnonzero(learnt.any(1))
    nearest = filled[np.abs(np.arange(BINS)[:, None] - filled).argmin(1)]
    likeliest = learnt[nearest].argmax(1)  # a value never met has the class of the nearest one
    tests = data.source("test")
    of_test = sum((counts(tests[i]) for i in range(len(tests))), np.zeros((BINS, count), np.int64))
    matrix = np.zeros((count, count), np.int64)
    for predicted, row in zip(likeliest, of_test, strict=True):
        matrix[:, predicted] += row
    return matrix


def statement(classes: Sequence[str], scores: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The Dice of each method and class in a sentence."""
    parts = []
    for net, each in scores.items():
        values = [np.mean([one.get(f"dice/{name}", np.nan) for one in each]) for name in classes]
        told = ", ".join(
            f"{value:.3f} for {name}" for name, value in zip(classes, values, strict=True)
        )
        parts.append(f"{net} has a Dice of {told}")
    return "; ".join(parts) + "."


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
