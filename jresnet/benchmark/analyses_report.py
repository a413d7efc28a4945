"""Table and sentences of the benchmark of analyses."""

import importlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jresnet.benchmark.cases import torch_nets
from jresnet.benchmark.jax_nets import uncached
from jresnet.benchmark.timing import OURS, Contestant, Timing, interleaved
from jresnet.benchmark.work import Analysis, Work
from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Section, Table
from jresnet.report.text import format_table

HEADERS = (
    "analysis",
    "by",
    "batch",
    "images in all",
    "images/s (slowest to fastest)",
    "jresnet is so many times as fast",
    "all of it, s (from the rate)",
    "compile s",
    "difference",
)
AFTER = (
    "Medians of the repeats, which the contestants took in turns. An image counts once for every "
    "point, lesion or product; the time of all of it was not measured but follows from the rate. "
    "Difference: between the values of a loop and of jresnet, relative to the largest."
)


class Row(NamedTuple):
    """One contestant in one analysis. An image counts once for every point, lesion or product."""

    analysis: Analysis
    net: str
    contestant: str
    batch: int
    whole: int  # images
    images_per_second: float
    slowest: float
    fastest: float
    ratio: float
    whole_seconds: float
    compile_seconds: float
    difference: float | None  # from jresnet's values, relative to the largest


def conclude(
    works: Mapping[Analysis, Callable[[Any], Work]],
    peers: bool,
    images: int,
    batch: int,
    repeats: int,
    seconds: float,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Time everything; print each analysis' rows, write benchmark.json and the report.

    Args:
        works: for each analysis, the preparation of its work, for peers of a module or None.
        peers: whether loops in PyTorch are timed too, if it is installed.
        images: images of the whole work.
        batch: images a step.
        repeats: timings of each contestant.
        seconds: length of each.
        folder: the run's folder.
        results: unused, there are no trainings.
        provenance: versions and the like, for the page.
    """
    del results
    torch = torch_nets() if peers else None
    theirs = torch and importlib.import_module("jresnet.benchmark.torch_analyses")
    missing = " PyTorch is not installed: no rows of it." if peers and not theirs else ""
    rows: list[Row] = []
    for name, prepare in works.items():
        work = prepare(theirs)
        new = rows_of(name, work, images, batch, *timed(work, repeats, seconds))
        print(format_table(HEADERS, [cells(row) for row in new]), flush=True)
        rows += new
        record = {**provenance, "rows": [row._asdict() for row in rows]}
        (folder / "benchmark.json").write_text(json.dumps(record, indent=1) + "\n")
    summary = statement(rows)
    table = Table(HEADERS, [cells(row) for row in rows], AFTER + missing)
    sections = [Section("Side by side", [table])]
    return write_conclusion(folder, "Analyses", summary + missing, sections, provenance)


def timed(
    work: Work, repeats: int, seconds: float
) -> tuple[dict[str, Timing], dict[str, float], dict[str, np.ndarray]]:
    """Time the contestants of an analysis.

    Returns:
        Timings, the seconds that the first step took more than the second, and the values of a
        step, all by contestant.
    """
    compiling, values = {}, {}
    for name, run in work.runs.items():
        took = []
        with uncached():
            for _ in range(2):
                begun = time.perf_counter()
                values[name] = run(1)
                took.append(time.perf_counter() - begun)
        compiling[name] = max(0.0, took[0] - took[1])
    ready = {name: Contestant(run, compiling[name], None) for name, run in work.runs.items()}
    return interleaved(ready, repeats, seconds), compiling, values


def rows_of(
    analysis: Analysis,
    work: Work,
    images: int,
    batch: int,
    timings: Mapping[str, Timing],
    compiling: Mapping[str, float],
    values: Mapping[str, np.ndarray],
) -> list[Row]:
    """One row for each contestant; its ratio is jresnet's rate over the contestant's.

    Args:
        analysis: its name.
        work: what was timed.
        images: images of the whole work.
        batch: images a step.
        timings: by contestant.
        compiling: seconds of compilation by contestant.
        values: result of a step by contestant.
    """
    rows = []
    for name, timing in timings.items():
        step, whole = work.step * batch, work.whole * images
        apart = np.abs(values[name] - values[OURS]).max() / np.abs(values[OURS]).max()
        rows.append(
            Row(
                analysis,
                work.net,
                name,
                batch,
                whole,
                step / timing.median,
                step / timing.high,
                step / timing.low,
                timing.median / timings[OURS].median,
                whole / step * timing.median,
                compiling[name],
                None if name == OURS else float(apart),
            )
        )
    return rows


def cells(row: Row) -> tuple[object, ...]:
    """The cells of a row in the table."""
    return (
        f"{row.analysis}, {row.net}",
        row.contestant,
        row.batch,
        row.whole,
        f"{row.images_per_second:.3g} ({row.slowest:.3g} to {row.fastest:.3g})",
        "" if row.contestant == OURS else f"{row.ratio:.2f}",
        f"{row.whole_seconds:.0f}",
        f"{row.compile_seconds:.1f}",
        "–" if row.difference is None else f"{row.difference:.0e}",
    )


def statement(rows: list[Row]) -> str:
    """jresnet's rate over each peer's, analysis by analysis; its own where it is alone."""
    parts = [f"{r.analysis} {r.ratio:.2f} of {r.contestant}" for r in rows if r.contestant != OURS]
    alone = [f"{row.analysis} {row.images_per_second:.3g} images/s" for row in rows]
    return f"jresnet's analyses: {', '.join(parts or alone)}."
