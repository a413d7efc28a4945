"""How fast: train steps and inference beside the peers that are installed, in one run.

    python -m experiments.benchmark
    python -m experiments.benchmark --nets resnet50 cifar_resnet20 --repeats 9

Nets of He et al. 2015 (arXiv:1512.03385), Zagoruyko & Komodakis 2016, Xie et al. 2016 and Tran et
al. 2018. The peers are the same nets as one writes them in Flax (in the manner of its ImageNet
example) and in PyTorch (channels last, `torch.compile` too where there is a GPU), if it is there.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax

from jresnet.benchmark.cases import CASES, NETS, Also, Mode, contestants, torch_nets
from jresnet.benchmark.jax_nets import bandwidth
from jresnet.benchmark.timing import OURS, Contestant, Timing, interleaved
from jresnet.errors import UsageError
from jresnet.experiment import Result, Study
from jresnet.report.conclusion import Conclusion
from jresnet.report.html import Section, Table, write_report
from jresnet.report.run import flat
from jresnet.report.text import format_table
from jresnet.run.launch import launch


class Row(NamedTuple):
    """One contestant in one mode."""

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


def benchmark(
    nets: tuple[str, ...] = NETS,
    modes: tuple[Mode, ...] = ("train", "infer"),
    peers: bool = True,
    also: tuple[Also, ...] = (),
    repeats: int = 5,
    seconds: float = 3.0,
    batch: int | None = None,
) -> Study:
    """Images a second of this package and of its peers, timed in turns within one run.

    Training is a whole step: forward, backward, SGD with momentum and weight decay, BatchNorm's
    statistics; images lie on the device, uint8 for jresnet and its Flax peer. Inference has
    BatchNorm folded into the convolutions for jresnet (`jresnet.weights.fold`) and, in a row of its
    own, not. float32 on a CPU; on an accelerator bf16 with float32 parameters, for torch autocast.
    One device is timed; with --smoke two images a step, once, for as few steps as can be.

    Args:
        nets: which of resnet50, cifar_resnet20, cifar_resnet110, wide_resnet50_2, resnext50_32x4d,
            r3d_18, resnet152 and cifar_resnet1001.
        modes: train, infer or both.
        peers: time them too; torch only where it is installed.
        also: time the train step otherwise, too. forms: without each of the forms for CPUs
            (`jresnet.models.cpu`); scans: with scanned stages, and either rematerialisation; feeds:
            with other batches in each step, that come from the host or of a set on the device.
        repeats: how often each is timed.
        seconds: for how long each time.
        batch: images a step; by default of each net its own.
    """
    if strange := [name for name in nets if name not in CASES]:
        raise UsageError(f"nets={' '.join(strange)}: expected some of {', '.join(CASES)}")
    what = functools.partial(conclude, nets, modes, peers, also)
    return Study(
        {},
        functools.partial(what, repeats, seconds, batch),
        shortened=functools.partial(what, 1, 1e-6, 2),
    )


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
    """Times everything; prints the table, writes benchmark.json and the report."""
    del results
    accelerated = jax.default_backend() != "cpu"
    memory = bandwidth() if accelerated else None
    rows: list[Row] = []
    for name in nets:
        case = CASES[name]
        size = batch or (case.batch if accelerated else case.cpu_batch)
        for mode in modes:
            found = dict(contestants(case, mode, size, peers, also, accelerated))
            timings = interleaved(found, repeats, seconds)
            new = rows_of(name, mode, size, found, timings, memory)
            print(format_table(HEADERS, [cells(row) for row in new]), flush=True)
            rows += new
            kept = {
                **provenance,
                "bandwidth_bytes_per_second": memory,
                "rows": [row._asdict() for row in rows],
            }
            (folder / "benchmark.json").write_text(json.dumps(kept, indent=1) + "\n")
    summary = statement(rows)
    missing = "" if torch_nets() or not peers else " PyTorch is not installed: no rows of it."
    table = Table(HEADERS, [cells(row) for row in rows], AFTER + missing)
    sections = [Section("Side by side", [table])]
    page = write_report(folder / "report.html", "Benchmark", summary, sections, flat(provenance))
    return Conclusion(f"{summary}{missing}", page)


def rows_of(
    net: str,
    mode: Mode,
    size: int,
    found: Mapping[str, Contestant],
    timings: Mapping[str, Timing],
    memory: float | None,
) -> list[Row]:
    """The ratio of each is jresnet's rate over its own."""
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
                timing.median / timings[OURS].median,
                found[name].compile_seconds,
                found[name].peak_bytes,
                rate * (traffic or 0) / (memory or 1) if known else None,
            )
        )
    return rows


def cells(row: Row) -> tuple[object, ...]:
    """As the table has them."""
    return (
        row.net,
        row.mode,
        row.contestant,
        row.batch,
        f"{row.images_per_second:.3g} ({row.slowest:.3g} to {row.fastest:.3g})",
        "" if row.contestant == OURS else f"{row.ratio:.2f}",
        f"{row.compile_seconds:.1f}",
        "–" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.2f}",
        "–" if row.roofline is None else f"{100 * row.roofline:.0f}",
    )


def statement(rows: list[Row]) -> str:
    """jresnet's rate over each peer's, net by net; its own where it is alone."""
    parts = [
        f"{row.net} {row.mode} {row.ratio:.2f} of {row.contestant}"
        for row in rows
        if not row.contestant.startswith(OURS)
    ]
    alone = [
        f"{row.net} {row.mode} {row.images_per_second:.3g} images/s"
        for row in rows
        if row.contestant == OURS
    ]
    return f"jresnet's images a second: {', '.join(parts or alone)}."


HEADERS = (
    "net",
    "mode",
    "by",
    "batch",
    "images/s (slowest to fastest)",
    "jresnet is so many times as fast",
    "compile s",
    "peak GiB",
    "% of memory bandwidth",
)
AFTER = (
    "Medians of the repeats, which the contestants took in turns. In inference jresnet's BatchNorm is "
    "folded into the convolutions, the peers' is not; 'unfolded' is jresnet without that."
)


if __name__ == "__main__":
    launch(benchmark)
