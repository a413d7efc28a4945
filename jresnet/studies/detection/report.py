"""Table, figures and sentences of the study of detectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.recipes.detection import Kind
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.detection import froc_figure, precision_recall
from jresnet.report.html import Figure, Section, Table
from jresnet.studies.collected import collected
from jresnet.studies.conclusion import by_net, conclude_study, picture
from jresnet.studies.detection import threshold
from jresnet.studies.segmentation.figures import confusion_shares
from jresnet.tasks.detection_collector import (
    BOX,
    KEYPOINT,
    MASK,
    DetectionCollector,
    DetectionScores,
)

PICTURES = 9  # examples of the test split: the worst, those in the middle and the best
KINDS: dict[Kind, dict[str, str]] = {
    "boxes": {BOX: "box"},
    "masks": {BOX: "box", MASK: "mask"},
    "keypoints": {BOX: "box", KEYPOINT: "keypoint"},
}
NOTHING = "nothing"
OTSU = "Otsu's threshold"  # connected regions that are brighter
AFTER = (
    "Average precision by COCO's rules in %, over every image of the test split, after the last step; AP "
    "is the mean over IoU of 0.50 to 0.95, of keypoints over their similarity. With several seeds "
    "mean and standard deviation."
)
COUNTED = " Of keypoints {limit} detections of a class in an image count at most."
CONFUSED = (
    "Detections of {net} with a score of at least {score:g}, matched to objects at an IoU of {iou:g}: each "
    "row is a class and adds up to 100 %. The last column are objects that were missed, the last row "
    "detections of nothing."
)
SENSITIVITY = (
    "Share of objects that are detected against detections of nothing, an image; with intervals of 95 % by "
    "resampling images. Score: the mean at 1/8, 1/4, 1/2, 1, 2, 4 and 8."
)


def conclude(
    kind: Kind,
    start: str,
    runs: Mapping[str, Experiment],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; the trainings are called net-seed."""
    nets = by_net(results)
    froc = all("froc" in result.metrics["test"] for result in results.values())
    headers = ("net", "start", "parameters", *_headings(kind, froc), "seconds")
    rows = [
        row(kind, net, start, [results[label] for label in labels], froc)
        for net, labels in nets.items()
    ]
    firsts = {net: labels[0] for net, labels in nets.items()}
    collectors = {net: collected(runs[label], results[label]) for net, label in firsts.items()}
    first = next(iter(nets))
    rows += otsu_rows(kind, runs[firsts[first]].data, collectors[first].scores)
    examples = gallery.section(results[firsts[first]].folder)
    about = AFTER
    if kind == "keypoints":
        rules = collectors[first].scores.keypoints
        about += COUNTED.format(limit=rules.limits[-1])
    sections = [
        *([Section(f"Pictures, by {first}", examples.items)] if examples else []),
        Section("Result", [Table(headers, rows, about), *class_tables(kind, nets, results)]),
        Section("Classes", figures(kind, collectors, folder)),
    ]
    summary = statement(kind, nets, results)
    return conclude_study(folder, "Objects in images", summary, sections, provenance)


def _headings(kind: Kind, froc: bool) -> list[str]:
    names = [f"{name} {score}" for name in KINDS[kind].values() for score in ("AP", "AP50", "AP75")]
    return [*names, "FROC"] if froc else names


def row(
    kind: Kind, net: str, start: str, trained: list[Result], froc: bool = False
) -> tuple[object, ...]:
    """One line of the table; with `froc` the mean sensitivity too."""
    tests = [result.metrics["test"] for result in trained]
    seconds = f"{sum(result.seconds for result in trained):.0f}"
    return net, start, f"{trained[0].parameters:,}", *_scores(kind, tests, froc), seconds


def otsu_rows(kind: Kind, data: Any, rules: DetectionScores) -> list[tuple[object, ...]]:
    """The line of the table of Otsu's threshold by the same rules, where it makes sense."""
    if not threshold.applies(data):
        return []
    scores = threshold.measured(data, DetectionCollector(rules, data.info().class_names))
    return [(OTSU, None, None, *_scores(kind, [scores], rules.froc is not None), None)]


def _scores(kind: Kind, tests: Sequence[Mapping[str, float]], froc: bool) -> list[str]:
    names = [f"{prefix}{score}" for prefix in KINDS[kind] for score in ("ap", "ap50", "ap75")]
    names += ["froc"] if froc else []
    return [_mean([test.get(name, np.nan) for test in tests]) for name in names]


def class_tables(
    kind: Kind, nets: Mapping[str, list[str]], results: Mapping[str, Result]
) -> list[Table]:
    """AP50 of each class, where there are several."""
    prefix = list(KINDS[kind])[-1]
    begin = f"{prefix}ap50/"
    tests = {net: [results[label].metrics["test"] for label in ls] for net, ls in nets.items()}
    classes = [name for name in next(iter(tests.values()))[0] if name.startswith(begin)]
    if len(classes) < 2:
        return []
    rows = [
        (net, *(_mean([test.get(name, np.nan) for test in each]) for name in classes))
        for net, each in tests.items()
    ]
    caption = f"AP50 of {list(KINDS[kind].values())[-1]} by class."
    return [Table(("net", *(name.removeprefix(begin) for name in classes)), rows, caption)]


def figures(kind: Kind, collectors: Mapping[str, DetectionCollector], folder: Path) -> list[Figure]:
    """Precision against recall, sensitivity, and what is taken for what, of the first net."""
    net, first = next(iter(collectors.items()))
    prefix, name = list(KINDS[kind].items())[-1]
    drawn = []
    if prefix in first.kinds and (curves := first.precision(prefix)):
        about = f"Precision of {name} against recall at an overlap of 0.5, by {net}."
        drawn.append(picture(precision_recall(curves), folder / "precision.png", about))
    if all(each.scores.froc is not None for each in collectors.values()):
        curves = {name: each.froc() for name, each in collectors.items()}
        drawn.append(picture(froc_figure(curves), folder / "froc.png", SENSITIVITY))
    matrix = first.confusion()
    names = [*(first.name(number) for number in range(len(matrix) - 1)), NOTHING]
    rules = first.scores.confusion
    about = CONFUSED.format(net=net, score=rules.score, iou=rules.overlap)
    drawn.append(picture(confusion_shares(matrix, names), folder / "confusion.png", about))
    return drawn


def statement(kind: Kind, nets: Mapping[str, list[str]], results: Mapping[str, Result]) -> str:
    """The AP50 of each net in a sentence."""
    parts = []
    for net, labels in nets.items():
        tests = [results[label].metrics["test"] for label in labels]
        told = " and ".join(
            f"a {name} AP50 of {_mean([test.get(f'{prefix}ap50', np.nan) for test in tests])} %"
            for prefix, name in KINDS[kind].items()
        )
        parts.append(f"{net} has {told}")
    return "; ".join(parts) + "."


def _mean(values: list[float]) -> str:
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{spread}"
