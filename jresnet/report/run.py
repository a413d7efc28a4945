"""The report of a single training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.report.curves import parse_record, read_metrics
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
                Text([*input_lines(folder)]),
                Figure(figure, "Loss, error and learning rate against steps.", "Training curves"),
            ],
        ),
        Section("What was trained", [Text(paragraphs(description))]),
    ]
    summary = f"{parameters:,} parameters; " + ", ".join(
        f"{split} {name} {value:.4g}" for split, name, value in rows
    )
    return write_report(folder / "report.html", title, summary, sections, flat(provenance))


def input_lines(folder: Path) -> list[str]:
    """How fast the run was and whether its input held it up; how many image files were broken."""
    lines = []
    if windows := _windows(folder / "timing.jsonl"):
        # Windows have as many steps each, so they last as long as their rate is low.
        seconds = [1 / rate for rate, _ in windows]
        waited = sum(t * share for t, (_, share) in zip(seconds, windows, strict=True))
        share = waited / sum(seconds)
        lines.append(
            f"{len(windows) / sum(seconds):.0f} images/s in training; the devices waited for input "
            f"{share:.0%} of the time, so {_binding(share)}."
        )
    names = sorted(folder.glob("broken*.txt"))
    if broken := {line for path in names for line in path.read_text().splitlines()}:
        where = ", ".join(path.name for path in names)
        lines.append(f"{len(broken)} image files are broken, named in {where}.")
    return lines


def _windows(path: Path) -> list[tuple[float, float]]:
    """Images/s and the share of time spent waiting for input, of each window of steps."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    # A line that a killed run left unfinished is one window less.
    return [
        (record["images_per_second"], record["waiting"])
        for record in map(parse_record, lines)
        if record and record.get("images_per_second") and "waiting" in record
    ]


def rates(folder: Path) -> list[float]:
    """Images/s of the devices in each window of steps, without what they waited for input."""
    windows = _windows(folder / "timing.jsonl")
    return [rate / (1 - share) for rate, share in windows if share < 1]


def _binding(share: float) -> str:
    if share < 0.1:
        return "the steps bind"
    if share < 0.5:
        return "input and steps bind in turn"
    return "the input binds: more workers, or smaller files"


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
