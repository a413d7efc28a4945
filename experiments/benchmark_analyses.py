"""How fast analyses of nets are, beside straightforward loops in PyTorch on the same device.

    python -m experiments.benchmark_analyses
    python -m experiments.benchmark_analyses --analyses lesions --batch 100 --seconds 30

A loss landscape of ResNet-20 (Li et al. 2018, arXiv:1712.09913), every block of ResNet-110 deleted
alone (Veit et al. 2016, arXiv:1605.06431), and Hessian-vector products of ResNet-20.
"""

import functools
import importlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from jresnet.benchmark.cases import torch_nets
from jresnet.benchmark.jax_nets import uncached
from jresnet.benchmark.timing import OURS, Contestant, Timing, interleaved
from jresnet.benchmark.work import WORK, Analysis, Settings, Work
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table, write_report
from jresnet.report.run import flat
from jresnet.report.text import format_table
from jresnet.run.launch import launch

ANALYSES: tuple[Analysis, ...] = get_args(Analysis)


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
    difference: float | None  # of what was found from what jresnet found, relative to the largest


def benchmark_analyses(
    analyses: tuple[Analysis, ...] = ANALYSES,
    peers: bool = True,
    points: int = 25,
    images: int = 2000,
    products: int = 50,
    depth: int = 20,
    lesion_depth: int = 110,
    batch: int = 250,
    repeats: int = 3,
    seconds: float = 10.0,
) -> Study:
    """Images a second of this package's analyses and of torch loops, timed in turns within one run.

    The nets are those of He et al. 2015 for CIFAR-10 with fresh parameters, the images noise: this
    is about speed. Both contestants have the same weights, and the table says how far apart is what
    they found. All of an analysis takes more than ten minutes on a small CPU: timed are steps of
    it, four points of the landscape, all lesions, or one product, each for one batch of images
    again and again; the time of all of it is what follows from the rate. float32 (TF32 where a
    GPU's libraries take it by default). One device is timed; with --smoke two images a step and
    nets of 8 layers, once.

    Args:
        analyses: which of landscape, lesions and products.
        peers: time loops in PyTorch too, where it is installed.
        points: along each axis of the landscape's plane.
        images: of the whole work.
        products: Hessian-vector products of the whole work.
        depth: layers of the net of landscape and products, 6n+2.
        lesion_depth: layers of the net whose blocks are deleted, 6n+2.
        batch: images a batch.
        repeats: how often each is timed.
        seconds: for about how long each time, one step at least.
    """
    settings = Settings(points, images, products, depth, lesion_depth, batch, repeats, seconds)
    for name, value in (("depth", depth), ("lesion_depth", lesion_depth)):
        if value < 8 or value % 6 != 2:
            raise UsageError(f"{name}={value}: expected 6n+2, such as 20 or 110")
    small = settings._replace(depth=8, lesion_depth=8, batch=2, repeats=1, seconds=1e-6)
    what = functools.partial(conclude, analyses, peers)
    return Study({}, functools.partial(what, settings), shortened=functools.partial(what, small))


def conclude(
    analyses: tuple[Analysis, ...],
    peers: bool,
    settings: Settings,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Times everything; prints the table, writes benchmark.json and the report."""
    del results
    torch = torch_nets() if peers else None
    theirs = torch and importlib.import_module("jresnet.benchmark.torch_analyses")
    missing = " PyTorch is not installed: no rows of it." if peers and not theirs else ""
    rows: list[Row] = []
    for name in analyses:
        work = WORK[name](settings, theirs)
        new = rows_of(name, work, settings, *timed(work, settings))
        print(format_table(HEADERS, [cells(row) for row in new]), flush=True)
        rows += new
        kept = {**provenance, "rows": [row._asdict() for row in rows]}
        (folder / "benchmark.json").write_text(json.dumps(kept, indent=1) + "\n")
    summary = statement(rows)
    table = Table(HEADERS, [cells(row) for row in rows], AFTER + missing)
    sections = [Section("Side by side", [table])]
    page = write_report(folder / "report.html", "Analyses", summary, sections, flat(provenance))
    return Conclusion(f"{summary}{missing}", page)


def timed(
    work: Work, settings: Settings
) -> tuple[dict[str, Timing], dict[str, float], dict[str, np.ndarray]]:
    """Timings, the seconds that the first step took more than the second, and what was found."""
    compiling, found = {}, {}
    for name, run in work.runs.items():
        took = []
        with uncached():
            for _ in range(2):
                begun = time.perf_counter()
                found[name] = run(1)
                took.append(time.perf_counter() - begun)
        compiling[name] = max(0.0, took[0] - took[1])
    ready = {name: Contestant(run, compiling[name], None) for name, run in work.runs.items()}
    return interleaved(ready, settings.repeats, settings.seconds), compiling, found


def rows_of(
    analysis: Analysis,
    work: Work,
    settings: Settings,
    timings: Mapping[str, Timing],
    compiling: Mapping[str, float],
    found: Mapping[str, np.ndarray],
) -> list[Row]:
    """The ratio of each is jresnet's rate over its own."""
    rows = []
    for name, timing in timings.items():
        step, whole = work.step * settings.batch, work.whole * settings.images
        apart = np.abs(found[name] - found[OURS]).max() / np.abs(found[OURS]).max()
        rows.append(
            Row(
                analysis,
                work.net,
                name,
                settings.batch,
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
    """As the table has them."""
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
    "Difference: of what a loop found from what jresnet found, relative to the largest entry."
)


if __name__ == "__main__":
    launch(benchmark_analyses)
