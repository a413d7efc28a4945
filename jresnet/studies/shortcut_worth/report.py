"""Table, figure and sentences of the study of what shortcuts are worth."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.shortcut_worth.application import Application, Case
from jresnet.studies.shortcut_worth.figures import gains
from jresnet.studies.shortcut_worth.measure import Row, rows_of

HEADERS = ("application", "metric", "blocks", "residual", "plain", "gain", "shortcuts", "seconds")
AFTER = (
    "Of the test split after the last step. Blocks: residual blocks of each stage. Gain: how much "
    "better the residual net is than its plain twin in the unit of the metric, of which more is "
    "better, or less for errors and losses; with several seeds the mean, and its 95 % interval over "
    "pairs of one seed. Without an interval one run of each net was compared, and a small difference "
    "may be chance."
)
LENGTHS = ("application", "trained here", "its own default run", "share (%)", "data and net", "")
SHORTER = "Lengths of the trainings. Everything else is the application's own recipe."
MISSING = ("application", "not run, for")
FIGURE = (
    "Gain by shortcuts of each application, in the unit of its metric: hollow the shallow net, "
    "filled the deep one; right of the line the residual net is better than its plain twin."
)
MEANING = (
    "He et al. 2015 (arXiv:1512.03385) claim that deep plain nets train worse and that shortcuts "
    "cure it. The papers of the applications take residual backbones for granted. Here each "
    "application has its plain twin: the same layers and, but for projections on the shortcuts, the "
    "same parameters, by the same recipe, examples and seeds.",
    "Style is where residual nets should lose: Wang et al. 2021 (arXiv:2104.05623) find their "
    "features poor for it.",
    "The trainings are short, for a laptop. A gain says how fast a net gets somewhere in so many "
    "steps, not where both would end.",
)


def conclude(
    chosen: Mapping[Application, Sequence[Case]],
    missing: Mapping[Application, str],
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Draw, write the report; `missing` are applications that could not be run, with the reason."""
    rows = rows_of(chosen, results)
    table = Table(HEADERS, [line(row) for row in rows], AFTER)
    drawn = picture(gains(rows), folder / "gains.png", FIGURE)
    sections = [Section("Residual nets and their plain twins", [drawn, table])]
    if missing:
        names = [(application.name, reason) for application, reason in missing.items()]
        sections.append(Section("Not run", [Table(MISSING, names)]))
    lengths = [length(application, each[0]) for application, each in chosen.items()]
    sections.append(Section("Lengths", [Table(LENGTHS, lengths, SHORTER)]))
    sections += examples(chosen, results)
    summary = statement(rows, missing)
    return conclude_study(
        folder, "What shortcuts are worth", summary, sections, provenance, MEANING
    )


def line(row: Row) -> tuple[object, ...]:
    """A line of the table."""
    gain = written(row.gain) if math.isfinite(row.gain) else None
    if gain is not None and row.interval is not None:
        gain = f"{gain} ({' to '.join(map(written, row.interval))})"
    return (
        row.application.name,
        row.application.unit,
        row.blocks,
        mean(row.residual),
        mean(row.plain),
        gain,
        row.verdict,
        f"{row.seconds:.0f}",
    )


def written(gain: float) -> str:
    """A difference with its sign and three digits, such as +0.15 and -12.3."""
    if gain == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(gain))))
    return f"{gain:+.{min(digits, 4)}f}"


def mean(values: np.ndarray) -> str:
    """The mean over seeds with its standard deviation, or that a run diverged."""
    if not np.isfinite(values).all():
        return "diverged"
    spread = f" ± {values.std(ddof=1):.2g}" if len(values) > 1 else ""
    return f"{values.mean():.4g}{spread}"


def length(application: Application, case: Case) -> tuple[object, ...]:
    """A line about how much shorter the trainings are than the application's own default run."""
    return (
        application.name,
        f"{case.steps:,} {application.counted}",
        f"{application.usual:,}",
        f"{100 * case.steps / application.usual:.0f}",
        application.title,
        application.note,
    )


def examples(
    chosen: Mapping[Application, Sequence[Case]], results: Mapping[str, Result]
) -> list[Section]:
    """Pictures of the trainings that drew some."""
    sections = []
    for application, each in chosen.items():
        for case in each:
            drawn = gallery.section(results[f"{application.name}/{case.label}"].folder)
            if drawn is not None:
                title = f"Examples: {application.name}, {case.net}"
                sections.append(Section(title, drawn.items))
    return sections


def statement(rows: Sequence[Row], missing: Mapping[Application, str]) -> str:
    """How often shortcuts help at the least and at the most depth, in sentences."""
    said = []
    for title, deep in (("shallow", False), ("deep", True)):
        ends = _ends(rows, deep)
        counts = {
            verdict: []
            for verdict in ("better", "worse", "equal", "not told apart", "one diverged")
        }
        for row in ends:
            counts[row.verdict].append(row.application.name)
        told = "; ".join(
            f"{verdict} in {len(names)} ({', '.join(names)})"
            for verdict, names in counts.items()
            if names
        )
        said.append(f"With {title} nets residual is {told}.")
    reasons = f" Not run: {', '.join(a.name for a in missing)}." if missing else ""
    return f"{' '.join(said)}{reasons}"


def _ends(rows: Sequence[Row], deep: bool) -> list[Row]:
    """The shallowest row of each application, or the deepest."""
    ends: dict[Application, Row] = {}
    for row in sorted(rows, key=lambda row: row.blocks, reverse=not deep):
        ends[row.application] = row
    return [ends[application] for application in dict.fromkeys(row.application for row in rows)]
