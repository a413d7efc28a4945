"""Table and sentences of the benchmark of input, as a part of a plan."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jresnet.benchmark.input import PIPELINE, Measured, measure, of_set, table
from jresnet.benchmark.input_sets import BATCHES, COUNTS, InputSet, Kind, made_up_set
from jresnet.data.cores import cores, decoding_threads
from jresnet.experiment import Result
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Section, Table

AFTER = "Medians of the repeats, which the contestants took in turns."


def conclude(
    kind: Kind,
    peers: bool,
    repeats: int,
    seconds: float,
    shrunk: bool,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Make a set of one kind and measure its input; write benchmark.json and the report.

    Args:
        kind: what is in the set.
        peers: whether torch's loaders are measured too.
        repeats: turns.
        seconds: length of each.
        shrunk: whether the set has four examples, in batches of two, read by one thread.
        folder: the part's folder.
        results: unused, there are no trainings.
        provenance: versions and the like.
    """
    del results
    count, size = (4, 2) if shrunk else (COUNTS[kind], BATCHES[kind])
    workers = (0,) if shrunk else (0, cores())
    settings = [(number, 1 if shrunk else decoding_threads(number)) for number in workers]
    with made_up_set(kind, count, size, 32 if shrunk else 224) as chosen:
        measured = measure(of_set(chosen, settings, peers), repeats, seconds)
        record = {**provenance, "rows": rows_of(chosen, measured), "cores": cores()}
    (folder / "benchmark.json").write_text(json.dumps(record, indent=1) + "\n")
    headers, rows = table(measured, chosen.unit)
    section = Section("Side by side", [Table(headers, rows, AFTER)])
    summary = statement(chosen, measured)
    return write_conclusion(folder, f"Input of {kind}", summary, [section], provenance)


def rows_of(chosen: InputSet, measured: Mapping[str, Measured]) -> list[dict[str, Any]]:
    """One row for each contestant that was measured.

    Its ratio is the fastest pipeline's rate over the contestant's; NaN for pipelines themselves.
    """
    best = fastest(measured)
    return [
        {
            "net": f"{chosen.kind} ({chosen.about})",
            "mode": f"{chosen.unit}s/s of {one.cores} cores",
            "contestant": name,
            "batch": chosen.data.batch_size,
            "images_per_second": one.rate,
            "slowest": one.slowest,
            "fastest": one.fastest,
            "ratio": math.nan if name.startswith(PIPELINE) else best / one.rate,
            "compile_seconds": None,
        }
        for name, one in measured.items()
        if one.rate is not None
    ]


def fastest(measured: Mapping[str, Measured]) -> float:
    """The rate of the fastest pipeline."""
    return max(one.rate for name, one in measured.items() if one.rate and name.startswith(PIPELINE))


def statement(chosen: InputSet, measured: Mapping[str, Measured]) -> str:
    """The fastest pipeline's rate, and how many times those of the others it is."""
    best = fastest(measured)
    others = [
        f"{best / one.rate:.2f} of {name}"
        for name, one in measured.items()
        if one.rate and not name.startswith(PIPELINE)
    ]
    return f"The fastest pipeline gives {best:.3g} {chosen.unit}s/s: {', '.join(others)}."
