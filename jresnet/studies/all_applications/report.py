"""The page of all applications: of each its pictures, its number, its plain twin's and a published one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jresnet.experiment import Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.curves import read_metrics
from jresnet.report.html import Command, Figure, Item, Link, Section, Table, Text
from jresnet.report.run_figure import run_curves
from jresnet.run.reading import find_runs
from jresnet.studies.all_applications.entries import Entry, Net, entry_of
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.shortcut_worth.application import Application

PAGE = "report.html"
HEADERS = ("application", "metric", "residual", "plain twin", "trained by")
LONGER, SHORT, NOT_RUN = "its own run", "short trainings", "not run here"
SHOWN = 6  # pictures of an application
CONTENTS = (
    "Of the test split, by the deepest net of the run, mean over seeds. Short trainings are those of "
    "experiments.shortcut_worth; the applications' own runs are longer. Examples below go from the "
    "worst to the best where a task scores them."
)
BLOCKS = "Short trainings; the number in a net's name is that of residual blocks of each stage."
DRAWN = "Out of the report of the run"
CURVES = "Loss of the deepest residual net while it was trained."


def conclude(
    applications: Sequence[Application],
    folders: Sequence[Path],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Look for the results of each application in the runs in `folders`, and write the page."""
    del results  # it trains nothing
    runs = [run for each in folders for run in find_runs(each)]
    runs.sort(key=lambda run: run.config.get("date", ""), reverse=True)
    entries = [entry_of(application, runs) for application in applications]
    contents = Table(HEADERS, [line(entry) for entry in entries], CONTENTS)
    sections = [section(entry, folder) for entry in entries]
    shown = [entry for entry in entries if entry.run is not None]
    summary = f"{len(shown)} of {len(entries)} applications of residual nets have a result here."
    if missing := [entry.application.name for entry in entries if entry.run is None]:
        summary += f" Not run here: {', '.join(missing)}."
    return conclude_study(
        folder,
        "Applications of residual nets",
        summary,
        [Section("Results", [contents]), *sections],
        provenance,
    )


def line(entry: Entry) -> tuple[object, ...]:
    """A line of the table of contents."""
    application = entry.application
    where = NOT_RUN if entry.run is None else LONGER if entry.is_own else SHORT
    values = (value_of(entry, net) for net in (entry.residual, entry.plain))
    return (application.name, application.judged, *values, where)


def value_of(entry: Entry, net: Net | None) -> str | None:
    """The metric of one of the entry's nets, or that it diverged; None without a net."""
    if net is None:
        return None
    value = net.value(entry.application)
    return "diverged" if value is None else f"{value:.{entry.places}f}"


def section(entry: Entry, folder: Path) -> Section:
    """One application: pictures, numbers, the published number and the command."""
    application = entry.application
    title = f"{application.name.capitalize()}: {application.title}"
    ending: list[Item] = [
        Text((f"Published: {application.published}.",)),
        Command("Its own run", application.command),
    ]
    if entry.run is None or entry.residual is None:
        return Section(title, [Text((f"{NOT_RUN.capitalize()}.",)), *ending])
    rows = [
        (net.name, value_of(entry, net), len(net.trainings), f"{net.trainings[0].step:,}")
        for net in (entry.residual, entry.plain)
        if net is not None
    ]
    note = f"Note: {application.note}." if application.note else ""
    if not entry.is_own:
        note = f"{BLOCKS} {note}"
    numbers = Table(("net", application.judged, "seeds", "steps"), rows, note)
    page = entry.run.folder / PAGE
    links = [Link(os.path.relpath(page, folder), "Report of the run")] if page.exists() else []
    figures = sorted(entry.run.folder.glob("*.png")) if entry.is_own else []
    shown = pictures(application.name, entry.residual, figures, folder)
    return Section(title, [*shown, numbers, *ending, *links])


def pictures(name: str, net: Net, figures: Sequence[Path], folder: Path) -> list[Item]:
    """Examples that the net's training drew; else figures of its run; else the curve of its loss."""
    training = net.trainings[0]
    drawn = gallery.strip(training.folder, "Examples", SHOWN)
    if drawn is not None:
        return [drawn]
    if figures:
        return [Figure(path, f"{DRAWN}: {path.stem}.", path.stem) for path in figures[:2]]
    curve = run_curves(read_metrics(training.folder))
    return [picture(curve, folder / f"{name}.png", CURVES)]
