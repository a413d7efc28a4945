"""The table of methods, the figures and sentences about transfer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.experiment import Experiment, Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.csv_file import write_csv
from jresnet.report.html import Section, Table
from jresnet.report.pictures import against_examples, confusion_matrices, picture_grid
from jresnet.report.style import assign_colours
from jresnet.run.training import OUTPUTS
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.transfer.methods import NAMES
from jresnet.studies.transfer.shifted import Shift, measure
from jresnet.studies.transfer.shifted_report import shifted_section
from jresnet.tasks.measures import confusion, probabilities, two_classes
from jresnet.tasks.roc import auc_interval


def conclude(
    experiments: Mapping[str, Experiment],
    classes: tuple[str, ...],
    shifted: bool,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write table, figures and report of runs METHOD-COUNT-seedN that kept their outputs.

    With `shifted` the trained nets are also measured on corrupted test pictures.
    Returns the closing line: accuracy of each method for each number of examples.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for label, result in results.items():
        method, count, _ = label.split("-")
        groups.setdefault((count, method), []).append(result)
    headers = ["examples a class", "method", "test accuracy (%)"]
    headers += OF_TWO if len(classes) == 2 else []
    headers += ["trained parameters", "seconds"]
    rows = [row(count, method, runs, len(classes)) for (count, method), runs in groups.items()]

    last = next(reversed(groups))[0]
    shown = {method: runs[0] for (count, method), runs in groups.items() if count == last}
    matrices = {NAMES[m]: confusion(**kept(result)) for m, result in shown.items()}
    method = "finetune" if "finetune" in shown else next(iter(shown))
    pictures, wrong = mistakes(experiments[shown[method].folder.name], kept(shown[method]), classes)
    summary = statement(groups)
    lines = {
        NAMES[m]: {examples(c, experiments): accuracies(groups[c, m]) for c, n in groups if n == m}
        for m in dict.fromkeys(m for _, m in groups)
    }
    colours = assign_colours((name for name in NAMES.values() if name in lines), str)
    counts = f"Counts of test images, {last} examples a class."
    against = against_examples(lines, "test accuracy (%)", colours)
    matrix = confusion_matrices(matrices, classes)
    sections = [
        Section(
            "What happened",
            [
                Table(headers, rows, AFTER),
                picture(against, folder / "examples.png", RANGES, summary),
            ],
        ),
        Section(
            "What is confused",
            [
                picture(matrix, folder / "confusion.png", counts, "Confusion"),
                picture(pictures, folder / "wrong.png", wrong),
            ],
        ),
    ]
    if shifted:
        shifts = measure(experiments, results)
        write_csv(folder / "shifted.csv", Shift._fields, shifts)
        sections.insert(1, shifted_section(folder, shifts, results))
    return conclude_study(folder, "Transfer learning", summary, sections, provenance, MEANING)


OF_TWO = ["ROC AUC", "its 95 % interval", "sensitivity (%)", "specificity (%)"]
RANGES = "Means and ranges over the seeds."
AFTER = (
    "Over every test example after the last step; means over the seeds, with the standard "
    "deviation where there are several. Of two classes the second, in order of names, is the "
    "positive one; sensitivity and specificity are taken at a probability of one half. A measure that "
    "needs test examples of a class that has none is nan. The interval of the "
    "ROC AUC is by percentiles of 1,000 bootstrap samples of the test examples, of the mean over "
    "the seeds; the scatter over trainings is not in it."
)
MEANING = (
    "All methods see the same examples in the same order. From scratch and fine-tuned, the same "
    "net trains for as many steps; the probe trains one linear layer on the features of the "
    "unchanged net. Probe, then fine-tuned (LP-FT, arXiv:2202.10054) trains the head alone for half "
    "of the steps; gradual unfreezing and discriminative rates are those of arXiv:1801.06146; L2-SP "
    "(arXiv:1802.01483) draws the parameters back to where they started. Distilled nets begin with "
    "random weights and learn from the probabilities of a teacher or the features of the trained "
    "net. If the probe is as good as fine-tuning, these features already fit the task. If "
    "training from scratch is as good, the examples suffice to learn them.",
)


def kept(result: Result) -> dict[str, np.ndarray]:
    """Logits and labels of the test split."""
    with np.load(result.folder / OUTPUTS.format("test")) as file:
        return dict(file)


def margins(result: Result) -> np.ndarray:
    """How far the second class is above the first of two, for each test example."""
    logits = kept(result)["logits"].astype(np.float64)
    return logits[:, 1] - logits[:, 0]


def accuracies(runs: list[Result]) -> list[float]:
    return [100 * (1 - run.metrics["test"]["error"]) for run in runs]


def examples(count: str, experiments: Mapping[str, Experiment]) -> int:
    """Training examples a class; the average if all examples are used."""
    label = next(label for label in experiments if label.split("-")[1] == count)
    task: Any = experiments[label].task
    return round(experiments[label].data.size("train") / task.model.num_classes)


def row(count: str, method: str, runs: list[Result], classes: int) -> list[object]:
    """One line of the table."""

    def written(values: list[float], digits: int) -> str:
        spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
        return f"{np.mean(values):.{digits}f}{spread}"

    cells: list[object] = [count, NAMES[method], written(accuracies(runs), 1)]
    if classes == 2:
        measures = [two_classes(**kept(run)) for run in runs]
        cells.append(written([one["auc"] for one in measures], 3))
        low, high = auc_interval(kept(runs[0])["label"] == 1, np.stack([margins(r) for r in runs]))
        cells.append(f"{low:.3f} to {high:.3f}")
        for name in ("sensitivity", "specificity"):
            cells.append(written([100 * one[name] for one in measures], 1))
    return [*cells, f"{runs[0].parameters:,}", f"{np.mean([run.seconds for run in runs]):.0f}"]


def mistakes(
    experiment: Experiment, outputs: Mapping[str, np.ndarray], classes: tuple[str, ...]
) -> tuple[Any, str]:
    """The wrong test pictures with the highest confidence, and a caption."""
    shares = probabilities(outputs["logits"])
    guess, label = shares.argmax(-1), outputs["label"]
    wrong = np.flatnonzero(guess != label)
    wrong = wrong[np.argsort(-shares[wrong, guess[wrong]])][:24]
    batches = experiment.data.examples("test", (0, 1))
    images = np.concatenate([batch["image"][batch["valid"] > 0] for batch in batches])
    captions = [f"{classes[label[i]]} as {classes[guess[i]]} {shares[i].max():.2f}" for i in wrong]
    total = int((guess != label).sum())
    text = f"{len(wrong)} of the {total} wrong test pictures, the surest first: true class, guess."
    return picture_grid(images[wrong], captions), text


def statement(groups: Mapping[tuple[str, str], list[Result]]) -> str:
    """A sentence with the accuracy of each method for each number of examples."""
    parts = []
    for count in dict.fromkeys(count for count, _ in groups):
        means = {m: np.mean(accuracies(runs)) for (c, m), runs in groups.items() if c == count}
        text = ", ".join(f"{NAMES[m]} {value:.1f} %" for m, value in means.items())
        parts.append(f"{count} examples a class: {text}")
    return "Test accuracy with " + "; ".join(parts) + "."
