"""The table, curves and sentences of disease classification by the protocol of MedMNIST."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.experiment import Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.html import Section, Table, Text
from jresnet.report.lines import Line, line_panels
from jresnet.studies.conclusion import by_net, conclude_study, picture

# How a metric is headed, and the digits and the factor that it is shown with.
COLUMNS: dict[str, tuple[str, int, float]] = {
    "auc": ("AUC", 3, 1),
    "accuracy": ("accuracy", 3, 1),
    "sensitivity": ("sensitivity (%)", 1, 100),
    "specificity": ("specificity (%)", 1, 100),
    "ece": ("ECE (%)", 1, 100),
    "kappa": ("kappa", 3, 1),
    "grade_error": ("mean distance of grades", 3, 1),
}
PICTURES = 18
WARNING = (
    "Not for medical use: these nets were trained on small pictures, and nothing here says how they "
    "do on the patients of another hospital."
)
PROTOCOL = (
    "On the test split, with the weights of the epoch that was best on the validation split; means "
    "over the seeds, with their standard deviation where there are several. Those weights are not "
    "kept: the pictures, result.json and all commands that read a run's folder are of the last "
    "epoch. AUC and accuracy are those of MedMNIST's evaluator; the interval is of the first seed, by percentiles of bootstrap "
    "samples of the test examples. Sensitivity and specificity are the second class's of two, and "
    "else means over the classes, at one half or at the likeliest class. ECE is the expected "
    "calibration error in 15 bins (arXiv:1706.04599)."
)


def conclude(
    title: str,
    references: Mapping[str, tuple[float, float] | None],
    chosen_by: str,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write table, curves and report of trainings NET-seedN.

    Args:
        title: of the set.
        references: published AUC and accuracy of each net, where there are any.
        chosen_by: the metric of the validation split that an epoch is chosen by, the higher the
            better.
        folder: the study's.
        results: of the trainings.
        provenance: for the end of the page.
    """
    nets = by_net(results)
    best = {label: best_epoch(read_metrics(one.folder), chosen_by) for label, one in results.items()}  # fmt: skip
    measured = {net: [best[label] for label in labels] for net, labels in nets.items()}
    shown = [name for name in COLUMNS if name in next(iter(best.values()))]
    headers = ["net", "epoch", *(COLUMNS[name][0] for name in shown)]
    headers += ["95 % interval of the AUC"] * ("auc_low" in next(iter(best.values())))
    headers += ["published AUC / accuracy", "parameters", "seconds"]
    rows = [
        row(net, shown, scores, references.get(net), [results[label] for label in nets[net]])
        for net, scores in measured.items()
    ]
    lines = {
        split: {net: curve(results[labels[0]].folder, split, chosen_by) for net, labels in nets.items()}
        for split in ("val", "test")
    }  # fmt: skip
    drawing = line_panels(lines, "steps", COLUMNS[chosen_by][0])
    words = "While the nets train, the first seed: validation split and test split."
    summary = statement(title, measured, references)
    pictures = [gallery.section(results[labels[0]].folder) for labels in nets.values()]
    sections = [
        Section("Result", [Text((WARNING,)), Table(headers, rows, PROTOCOL)]),
        Section("Training", [picture(drawing, folder / "auc.png", words)]),
        *(section for section in pictures[:1] if section is not None),
    ]
    return conclude_study(folder, f"Diagnosis: {title}", summary, sections, provenance)


def best_epoch(records: Sequence[Mapping[str, Any]], chosen_by: str) -> dict[str, float]:
    """The test metrics of the step that is best on "val", the first of equals, with its `step`."""
    by_split: dict[str, dict[int, Mapping[str, Any]]] = {"val": {}, "test": {}}
    for record in records:
        if record["split"] in by_split:
            by_split[record["split"]][record["step"]] = record
    values = {step: one[chosen_by] for step, one in by_split["val"].items()}
    numbers = {step: value for step, value in values.items() if not np.isnan(value)} or values
    step = max(numbers, key=lambda step: (numbers[step], -step))
    return {k: v for k, v in by_split["test"][step].items() if k != "split"}


def row(
    net: str,
    shown: Sequence[str],
    scores: Sequence[Mapping[str, float]],
    reference: tuple[float, float] | None,
    trainings: Sequence[Result],
) -> list[object]:
    """One line of the table."""
    cells: list[object] = [net, " ".join(f"{one['step']:,.0f}" for one in scores)]
    for name in shown:
        _, digits, factor = COLUMNS[name]
        values = [factor * one[name] for one in scores]
        spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.{digits}f}{spread}")
    if "auc_low" in scores[0]:
        cells.append(f"{scores[0]['auc_low']:.3f} to {scores[0]['auc_high']:.3f}")
    cells.append("none" if reference is None else f"{reference[0]:.3f} / {reference[1]:.3f}")
    seconds = np.mean([one.seconds for one in trainings])
    return [*cells, f"{trainings[0].parameters:,}", f"{seconds:.0f}"]


def curve(folder: Path, split: str, metric: str) -> Line:
    """A metric of a split at each evaluation of a training."""
    records = [one for one in read_metrics(folder) if one["split"] == split]
    return Line([one["step"] for one in records], [one[metric] for one in records])


def statement(
    title: str,
    measured: Mapping[str, Sequence[Mapping[str, float]]],
    references: Mapping[str, tuple[float, float] | None],
) -> str:
    """A sentence with the scores of each net."""
    parts = []
    for net, scores in measured.items():
        keys = [name for name in ("auc", "accuracy", "kappa") if name in scores[0]]
        told = ", ".join(
            f"{COLUMNS[name][0]} {np.mean([one[name] for one in scores]):.3f}" for name in keys
        )
        reference = references.get(net)
        beside = f" (published {reference[0]:.3f} and {reference[1]:.3f})" if reference else ""
        parts.append(f"{net} {told}{beside}")
    return f"{title}, test split: {'; '.join(parts)}."
