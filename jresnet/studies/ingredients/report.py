"""The table, curves and sentence about the ingredients of recipes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.figures import training_curves
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture

HEADERS = (
    "recipe",
    "test error (%)",
    "test loss",
    "train error (%)",
    "against the baseline",
    "seconds",
)

CAPTION = "Error against steps: training thin, test bold."


def conclude(
    names: Mapping[str, str],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Write table, curves and report; the closing line compares all variants with the baseline."""
    groups: dict[str, list[Result]] = {}
    for label, result in results.items():
        groups.setdefault(names[label.rsplit("-seed", 1)[0]], []).append(result)
    baseline = errors(groups["baseline"])
    rows = []
    for name, runs in groups.items():
        gain = errors(runs) - baseline
        rows.append(
            (
                name,
                written(errors(runs), 2),
                written(np.array([run.metrics["test"]["loss"] for run in runs]), 3),
                written(errors(runs, "train"), 2),
                "" if name == "baseline" else f"{gain.mean():+.2f}",
                f"{np.mean([run.seconds for run in runs]):.0f}",
            )
        )
    curves = {name: [read_metrics(run.folder) for run in runs] for name, runs in groups.items()}
    drawing = training_curves({"Test error": curves})
    best, worth = min(((errors(runs).mean(), name) for name, runs in groups.items()))
    summary = (
        f"Baseline {baseline.mean():.2f} % test error; best: {worth} with {best:.2f} %; "
        f"all together {errors(groups['+ all']).mean():.2f} %."
    )
    sections = [
        Section(
            "What happened",
            [
                Table(HEADERS, rows, "After the last step, over every example; means over seeds."),
                picture(drawing, folder / "curves.png", CAPTION, summary),
            ],
        )
    ]
    return conclude_study(folder, "Ingredients", summary, sections, provenance)


def errors(runs: list[Result], split: str = "test") -> np.ndarray:
    """Errors in per cent, by seed."""
    return np.array([100 * run.metrics[split]["error"] for run in runs])


def written(values: np.ndarray, digits: int) -> str:
    """The mean, with the standard deviation if there are several values."""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def slug(name: str) -> str:
    """The name of a variant in letters that suit a folder."""
    return name.removeprefix("+ ").replace(" ", "_")
