"""The report of a single training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.report.curves import read_metrics
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text, write_report
from jresnet.report.run_figure import run_curves


def write_run_report(
    folder: Path,
    title: str,
    description: str,
    metrics: Mapping[str, Mapping[str, float]],
    parameters: int,
    provenance: Mapping[str, object],
) -> Path:
    """`report.html` and `curves.png` in a finished run's folder; returns the page's path.

    `metrics` are the final ones by split, errors as fractions.
    """
    figure = save(run_curves(read_metrics(folder)), folder / "curves.png")
    rows = [
        (split, name, value) for split, values in metrics.items() for name, value in values.items()
    ]
    sections = [
        Section(
            "Result",
            [
                Table(("split", "metric", "value"), rows, "After the last step."),
                Figure(figure, "Loss, error and learning rate against steps.", "Training curves"),
            ],
        ),
        Section("What was trained", [Text(paragraphs(description))]),
    ]
    summary = f"{parameters:,} parameters; " + ", ".join(
        f"{split} {name} {value:.4g}" for split, name, value in rows
    )
    return write_report(folder / "report.html", title, summary, sections, flat(provenance))


def paragraphs(description: str) -> list[str]:
    """A docstring's paragraphs without its list of arguments."""
    text = description.split("\nArgs:")[0]
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]


def flat(provenance: Mapping[str, Any]) -> dict[str, object]:
    """Versions and arguments, which are mappings, each in one line."""
    return {
        key: ", ".join(f"{k} {v}" for k, v in value.items())
        if isinstance(value, Mapping)
        else value
        for key, value in provenance.items()
    }
