"""Table, figure and sentences of the study of what shortcuts are worth."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jresnet.experiment import Result
from jresnet.report import gallery
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Item, Section, Table, Text
from jresnet.studies.conclusion import conclude_study, picture
from jresnet.studies.shortcut_worth.application import Application, Case
from jresnet.studies.shortcut_worth.figures import gains
from jresnet.studies.shortcut_worth.measure import Row, decimals, rows_of

HEADERS = ("application", "metric", "blocks", "residual", "plain", "gain", "shortcuts", "seconds")
AFTER = (
    "Of the test split after the last step; ↓ less is better, ↑ more is better. Blocks: residual "
    "blocks of each stage. Gain: how much better the residual net is than its plain twin, in the "
    "unit of the metric, positive also where it has less of an error or a loss. Seconds: of both "
    "nets, other work on the machine included. "
)
SEVERAL = (
    "Mean over seeds, and its 95 % interval over pairs of one seed; better and worse where that "
    "leaves out zero."
)
SINGLE = (
    "One seed: ahead and behind tell which of two runs was better, and another seed may turn a small "
    "difference round. Within chance: two nets that are equally good differ more than that in one "
    "case of twenty, by their number of test examples alone; it is known for shares of examples only."
)
SHOWN = 3
EXAMPLES = (
    "Test examples as the deep residual net of each application sees them; where its task scores "
    "them, a bad one, a middle one and a good one."
)
LENGTHS = ("application", "trained here", "its own default run", "share (%)", "data and net")
SHORTER = "Lengths of the trainings. Everything else is the application's own recipe."
VERDICTS = (
    "better", "ahead", "worse", "behind", "equal", "within chance", "not told apart", "one diverged",
)  # fmt: skip
MISSING = ("application", "not run, for")
FIGURE = (
    "Gain by shortcuts of each application, in the unit of its metric: hollow the shallow net, "
    "filled the deep one; right of the line the residual net is better than its plain twin. Grey: "
    "within chance, where that is known. Each row has its own axis, of at least a twentieth of the "
    "metric on either side."
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
    single = any(row.interval is None for row in rows)
    table = Table(HEADERS, [line(row) for row in rows], AFTER + (SINGLE if single else SEVERAL))
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
    gain, places = None, decimals([*row.residual, *row.plain])
    if math.isfinite(row.gain):
        gain = written(row.gain, places)
        if row.interval is not None:
            gain += f" ({' to '.join(written(end, places) for end in row.interval)})"
    return (
        row.application.name,
        row.application.judged,
        row.blocks,
        mean(row.residual, places),
        mean(row.plain, places),
        gain,
        row.verdict,
        f"{row.seconds:.0f}",
    )


def written(gain: float, places: int) -> str:
    """A difference with its sign, such as +0.15 and -12.3; 0 where it rounds to that."""
    text = f"{gain:+.{places}f}"
    return text if float(text) else "0"


def mean(values: np.ndarray, places: int) -> str:
    """The mean over seeds with its standard deviation, or that a run diverged."""
    if not np.isfinite(values).all():
        return "diverged"
    spread = f" ± {values.std(ddof=1):.2g}" if len(values) > 1 else ""
    return f"{values.mean():.{places}f}{spread}"


def length(application: Application, case: Case) -> tuple[object, ...]:
    """A line about how much shorter the trainings are than the application's own default run."""
    title = f"{application.title}; {application.note}" if application.note else application.title
    return (
        application.name,
        f"{case.steps:,} {application.counted}",
        f"{application.usual:,}",
        f"{100 * case.steps / application.usual:.0f}",
        title,
    )


def examples(
    chosen: Mapping[Application, Sequence[Case]], results: Mapping[str, Result]
) -> list[Section]:
    """Pictures of the trainings that drew some, a row each."""
    rows = [
        gallery.strip(results[f"{application.name}/{case.label}"].folder, application.name, SHOWN)
        for application, each in chosen.items()
        for case in each
    ]
    drawn: list[Item] = [row for row in rows if row is not None]
    return [Section("Examples", [Text((EXAMPLES,)), *drawn])] if drawn else []


def statement(rows: Sequence[Row], missing: Mapping[Application, str]) -> str:
    """Where the residual net is better at the least and at the most depth, in sentences."""
    said = []
    for title, deep in (("Shallow", False), ("Deep", True)):
        ends = _ends(rows, deep)
        counts: dict[str, list[str]] = {verdict: [] for verdict in VERDICTS}
        for row in ends:
            counts[row.verdict].append(row.application.name)
        told = "; ".join(
            f"{verdict} in {len(names)} ({', '.join(names)})"
            for verdict, names in counts.items()
            if names
        )
        said.append(f"{title} nets, residual against plain: {told}.")
    single = " One seed." if any(row.interval is None for row in rows) else ""
    reasons = f" Not run: {', '.join(a.name for a in missing)}." if missing else ""
    return f"{' '.join(said)}{single}{reasons}"


def _ends(rows: Sequence[Row], deep: bool) -> list[Row]:
    """The shallowest row of each application, or the deepest."""
    ends: dict[Application, Row] = {}
    for row in sorted(rows, key=lambda row: row.blocks, reverse=not deep):
        ends[row.application] = row
    return [ends[application] for application in dict.fromkeys(row.application for row in rows)]
