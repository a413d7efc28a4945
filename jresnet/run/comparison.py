"""The page of `compare`: curves, results and arguments of several runs, side by side."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jresnet.report.curves import Record, read_metrics
from jresnet.report.figures import save, training_curves
from jresnet.report.html import Figure, Section, Table, Text, write_report
from jresnet.run.reading import Run, Training

UNITS = {"loss": ("loss", 1.0), "error": ("error (%)", 100.0), "top5_error": ("top-5 error (%)", 100.0)}  # fmt: skip


def write_comparison(page: Path, runs: Sequence[Run]) -> Path:
    """Write a page on all trainings; returns its path. Raises UsageError for damaged files."""
    pairs = {training.folder: (run, training) for run in runs for training in run.trainings}
    names = named(list(pairs))
    records = {names[folder]: read_metrics(folder) for folder in pairs}
    trainings = {names[folder]: training for folder, (_, training) in pairs.items()}
    with tempfile.TemporaryDirectory() as scratch:
        sections = [
            Section("Curves", [*_figures(records, Path(scratch))]),
            Section("Results", [Table(*_results(trainings), "After the last step.")]),
            Section("Where they differ", [_differences({names[f]: r for f, (r, _) in pairs.items()})]),
        ]  # fmt: skip
        states = [training.state for training in trainings.values()]
        summary = f"{len(states)} trainings: " + ", ".join(
            f"{states.count(state)} {state}" for state in dict.fromkeys(states)
        )
        commands = {
            names[folder]: run.config.get("command", "") for folder, (run, _) in pairs.items()
        }
        return write_report(page, "Runs compared", summary, sections, commands)


def named(folders: Sequence[Path]) -> dict[Path, str]:
    """A name for each folder: its path without the part that all have in common."""
    whole = [folder.resolve() for folder in folders]
    common = os.path.commonpath([folder.parent for folder in whole])
    return {f: str(w.relative_to(common)) for f, w in zip(folders, whole, strict=True)}


def _figures(records: dict[str, list[Record]], scratch: Path) -> list[Figure | Text]:
    figures: list[Figure | Text] = []
    for key, (label, scale) in UNITS.items():
        having = {
            name: [run]
            for name, run in records.items()
            if any(key in record and record.get("split") in ("train", "test") for record in run)
        }
        if not having:
            continue
        top = _first(records, key) if key == "loss" else None
        drawn = training_curves({"": having}, key=key, ylabel=label, scale=scale, y_max=top)
        caption = "Training thin and dashed, test bold; the last value beside each name."
        if top is not None:
            caption += " The axis ends a fifth above the highest loss with which a training began."
        figures.append(Figure(save(drawn, scratch / f"{key}.png"), caption, f"{label} of all runs"))
    return figures or [Text(["Nothing was recorded yet."])]


def _first(records: dict[str, list[Record]], key: str) -> float | None:
    """The top of the axis, 1.2 times the highest first value: peaks are cut off."""
    firsts = [next((r[key] for r in run if key in r), 0.0) for run in records.values()]
    return 1.2 * max(firsts) if max(firsts) > 0 else None


def _results(trainings: dict[str, Training]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    metrics = {name: _flat(training) for name, training in trainings.items()}
    keys = list(dict.fromkeys(key for values in metrics.values() for key in values))
    rows: list[tuple[object, ...]] = [
        (name, training.state, training.progress(), *(metrics[name].get(key) for key in keys))
        for name, training in trainings.items()
    ]
    return ("run", "state", "progress", *keys), rows


def _flat(training: Training) -> dict[str, float]:
    """`{"test error (%)": 6.97}`."""
    flat = {}
    for split, values in training.metrics.items():
        for metric, value in values.items():
            if "/" not in metric:
                label, scale = UNITS.get(metric, (metric, 1.0))
                flat[f"{split} {label}"] = scale * value
    return flat


def _differences(runs: dict[str, Run]) -> Table | Text:
    """Arguments, versions and hardware that are not the same for all runs."""
    facts = {name: _facts(run.config) for name, run in runs.items()}
    keys = dict.fromkeys(key for config in facts.values() for key in config)
    differing = [k for k in keys if len({str(config.get(k)) for config in facts.values()}) > 1]
    if not differing:
        return Text(["Their commands, versions and hardware are the same."])
    rows = [(name, *(_shown(config.get(k)) for k in differing)) for name, config in facts.items()]
    return Table(("run", *differing), rows, "Arguments, versions and hardware that are not the same for all.")  # fmt: skip


def _facts(config: dict[str, Any]) -> dict[str, Any]:
    facts = {"experiment": config["experiment"], **config["arguments"]}
    for key in ("commit", "hardware"):
        facts[key] = config.get(key)
    return facts | config.get("versions", {})


def _shown(value: Any) -> str | None:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return None if value is None else str(value)
