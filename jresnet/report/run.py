"""The report of a single training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jresnet.report import gallery
from jresnet.report.curves import Record, read_metrics, read_timing
from jresnet.report.figures import save
from jresnet.report.html import Figure, Section, Table, Text, write_report
from jresnet.report.metrics import displayed
from jresnet.report.run_figure import run_curves

_RATE = "_per_second"
PEAKS = {
    "device_peak_gib": "A device used",
    "process_peak_gib": "The process, which counts what it did before this training, used",
}


def write_run_report(
    folder: Path,
    title: str,
    description: str,
    metrics: Mapping[str, Mapping[str, float]],
    parameters: int,
    provenance: Mapping[str, object],
) -> Path:
    """`report.html` and `curves.png` in a finished run's folder; returns the page's path.

    `metrics` are the final ones by split, errors as fractions. The examples that the training drew
    come first.
    """
    figure = save(run_curves(read_metrics(folder)), folder / "curves.png")
    rows = [
        (split, *displayed(name, value))
        for split, values in metrics.items()
        for name, value in values.items()
    ]
    examples = gallery.section(folder)
    sections = [
        *([examples] if examples else []),
        Section(
            "Result",
            [
                Table(("split", "metric", "value"), rows, "After the last step."),
                Text([*cost_lines(folder)]),
                Figure(figure, "Loss, error and learning rate against steps.", "Training curves"),
            ],
        ),
        Section("What was trained", [Text(paragraphs(description))]),
    ]
    # Scores of single classes and sizes are in the table: they may be hundreds.
    whole = [
        (split, *displayed(name, value))
        for split, values in metrics.items()
        for name, value in values.items()
        if "/" not in name
    ]
    summary = f"{parameters:,} parameters; " + ", ".join(
        f"{split} {name} {value:.4g}" for split, name, value in whole
    )
    return write_report(folder / "report.html", title, summary, sections, flat(provenance))


def cost_lines(folder: Path) -> list[str]:
    """Sentences about the time to compile, memory, whether the input held up the run, broken files."""
    lines = []
    timing = read_timing(folder)
    if compiled := [record["compile_seconds"] for record in timing if "compile_seconds" in record]:
        sittings = f" (the last of {len(compiled)} sittings)" if len(compiled) > 1 else ""
        lines.append(f"The train step was compiled in {compiled[-1]:.1f} s{sittings}.")
    for key, words in PEAKS.items():
        if peaks := [record[key] for record in timing if key in record]:
            lines.append(f"{words} at most {max(peaks):.2f} GiB of memory.")
    if windows := _windows(timing):
        # Windows have as many steps each, so they last as long as their rate is low.
        seconds = [1 / rate for rate, _ in windows]
        waited = sum(t * share for t, (_, share) in zip(seconds, windows, strict=True))
        share = waited / sum(seconds)
        lines.append(
            f"{len(windows) / sum(seconds):.0f} {_unit(timing)}/s in training; the devices waited for input "
            f"{share:.0%} of the time, so {_binding(share)}."
        )
    names = sorted(folder.glob("broken*.txt"))
    if broken := {
        line for path in names for line in path.read_text("utf-8", "replace").splitlines()
    }:
        where = ", ".join(path.name for path in names)
        lines.append(f"{len(broken)} image files or annotations are broken, named in {where}.")
    return lines


def _windows(timing: Sequence[Record]) -> list[tuple[float, float]]:
    """Rows/s and the share of time spent waiting for input, of each window of steps."""
    key = f"{_unit(timing)}{_RATE}"
    return [
        (record[key], record["waiting"])
        for record in timing
        if record.get(key) and "waiting" in record
    ]


def _unit(timing: Sequence[Record]) -> str:
    """Rows of batches in words: images, or what the task calls them."""
    keys = (key for record in timing for key in record if key.endswith(_RATE))
    return next(keys, "images").removesuffix(_RATE)


def rates(folder: Path) -> list[float]:
    """Images/s of the devices in each window of steps, without what they waited for input."""
    windows = _windows(read_timing(folder))
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
