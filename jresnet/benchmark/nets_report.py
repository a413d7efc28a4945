"""Table and sentences of the benchmark of nets."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax

from jresnet.benchmark.cases import CASES, Also, Mode, contestants, left_out
from jresnet.benchmark.jax_nets import bandwidth
from jresnet.benchmark.timing import OURS, Contestant, Timing, able, interleaved
from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Section, Table
from jresnet.report.text import format_table

HEADERS = (
    "net",
    "mode",
    "by",
    "batch",
    "images/s, or boxes/s (slowest to fastest)",
    "jresnet is so many times as fast",
    "compile s",
    "peak GiB",
    "% of memory bandwidth",
)
AFTER = (
    "Medians of the repeats, which the contestants took in turns. In inference jresnet's BatchNorm is "
    "folded into the convolutions, the peers' is not; 'unfolded' is jresnet without that."
)


class Row(NamedTuple):
    """One contestant in one mode. For suppression and RoIAlign `images` are boxes."""

    net: str
    mode: Mode
    contestant: str
    batch: int
    images_per_second: float
    slowest: float
    fastest: float
    ratio: float
    compile_seconds: float
    peak_bytes: int | None
    roofline: float | None


def conclude(
    nets: tuple[str, ...],
    modes: tuple[Mode, ...],
    peers: bool,
    also: tuple[Also, ...],
    repeats: int,
    seconds: float,
    batch: int | None,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Time everything; print each net's rows, write benchmark.json and the report.

    Args:
        nets: names in `CASES`.
        modes: train, infer or both.
        peers: whether the peers are timed too.
        also: other ways of the train step.
        repeats: timings of each contestant.
        seconds: length of each.
        batch: images or boxes a step; None for each net's default.
        folder: the run's folder.
        results: unused, there are no trainings.
        provenance: versions and the like, for the page.
    """
    del results
    accelerated = jax.default_backend() != "cpu"
    memory = bandwidth() if accelerated else None
    rows: list[Row] = []
    losses: list[str] = []
    for name in nets:
        case = CASES[name]
        size = batch or (case.batch if accelerated else case.cpu_batch)
        for mode in modes:
            if mode not in case.modes:
                continue
            timed, lost = able(dict(contestants(case, mode, size, peers, also, accelerated)))
            losses += [f"{name}, {mode}, {size} a step, {who}: {why}" for who, why in lost.items()]
            timings = interleaved(timed, repeats, seconds)
            new = rows_of(name, mode, size, timed, timings, memory)
            print(format_table(HEADERS, [cells(row) for row in new]), flush=True)
            rows += new
            record = {
                **provenance,
                "bandwidth_bytes_per_second": memory,
                "rows": [row._asdict() for row in rows],
                "lost": losses,
            }
            (folder / "benchmark.json").write_text(json.dumps(record, indent=1) + "\n")
    summary = statement(rows)
    missing = left_out(nets) if peers else ""
    without = f" Not timed: {'; '.join(losses)}." if losses else ""
    table = Table(HEADERS, [cells(row) for row in rows], AFTER + missing + without)
    sections = [Section("Side by side", [table])]
    return write_conclusion(folder, "Benchmark", summary + missing + without, sections, provenance)


def rows_of(
    net: str,
    mode: Mode,
    size: int,
    timed: Mapping[str, Contestant],
    timings: Mapping[str, Timing],
    memory: float | None,
) -> list[Row]:
    """One row for each contestant; its ratio is jresnet's rate over the contestant's, or NaN without it.

    `memory` is the bandwidth of the device in bytes a second, None where it is not known.
    """
    traffic = CASES[net].traffic
    rows = []
    for name, timing in timings.items():
        rate = size / timing.median
        known = memory and traffic and mode == "train"
        rows.append(
            Row(
                net,
                mode,
                name,
                size,
                rate,
                size / timing.high,
                size / timing.low,
                timing.median / timings[OURS].median if OURS in timings else math.nan,
                timed[name].compile_seconds,
                timed[name].peak_bytes,
                rate * (traffic or 0) / (memory or 1) if known else None,
            )
        )
    return rows


def cells(row: Row) -> tuple[object, ...]:
    """The cells of a row in the table."""
    return (
        row.net,
        row.mode,
        row.contestant,
        row.batch,
        f"{row.images_per_second:.3g} ({row.slowest:.3g} to {row.fastest:.3g})",
        ratio_of(row.contestant, row.ratio),
        f"{row.compile_seconds:.1f}",
        "–" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.2f}",
        "–" if row.roofline is None else f"{100 * row.roofline:.0f}",
    )


def ratio_of(contestant: str, ratio: float) -> str:
    """The cell of a ratio: none for jresnet itself, and none where jresnet was not timed."""
    return "" if contestant == OURS or math.isnan(ratio) else f"{ratio:.2f}"


def statement(rows: list[Row]) -> str:
    """jresnet's rate over each peer's, net by net; its own where it is alone."""
    parts = [
        f"{row.net} {row.mode} {row.ratio:.2f} of {row.contestant}"
        for row in rows
        if not row.contestant.startswith(OURS) and not math.isnan(row.ratio)
    ]
    alone = [
        f"{row.net} {row.mode} {row.images_per_second:.3g} {CASES[row.net].unit}/s"
        for row in rows
        if row.contestant == OURS
    ]
    return f"jresnet's rate: {', '.join(parts or alone) or 'not measured'}."
