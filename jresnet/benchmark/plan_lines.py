"""Lines of a plan's table, out of the records of its parts."""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from jresnet.benchmark.cases import CASES, Case
from jresnet.benchmark.nets_report import ratio_of
from jresnet.models.published import count_net

# Products and sums a second that the tensor cores do in bfloat16, by NVIDIA's data sheets, dense.
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
HEADERS = (
    "part",
    "timed",
    "by",
    "batch",
    "a second (slowest to fastest)",
    "jresnet is so many times as fast",
    "compile s",
    "peak GiB",
    "TFLOP/s",
    "% of peak",
    "% of memory bandwidth",
    "note",
)
AFTER = (
    "Images a second; boxes for nms and roi_align, frames for agents, clips where it says so. TFLOP/s are those of the net, two for a product "
    "and its sum, three times as many in training; the peak is that of the device's bfloat16."
)


class Line(NamedTuple):
    """One contestant in the plan's table; numbers are None where they are not known."""

    part: str
    timed: str
    by: str = ""
    batch: int | None = None
    rate: float | None = None
    slowest: float | None = None
    fastest: float | None = None
    ratio: float = math.nan
    compile_seconds: float | None = None
    peak_bytes: int | None = None
    flops: float | None = None
    share: float | None = None
    roofline: float | None = None
    note: str = ""


def failed_line(part: str, reason: str) -> Line:
    """The line of a part that has no numbers, and why."""
    return Line(part, "not measured", note=reason)


def line(part: str, row: Mapping[str, Any]) -> Line:
    """The line of a row of either benchmark's record."""
    analysis = row.get("analysis")
    timed = f"{analysis}, {row['net']}" if analysis else f"{row['net']}, {row['mode']}"
    per_image = row.get("operations")
    if per_image is None and not analysis:
        per_image = operations(row["net"], row["mode"])
    flops = per_image and per_image * row["images_per_second"]
    top = next((PEAK[name] for name in PEAK if name in jax.devices()[0].device_kind), None)
    return Line(
        part,
        timed,
        row["contestant"],
        row["batch"],
        row["images_per_second"],
        row["slowest"],
        row["fastest"],
        row["ratio"],
        row["compile_seconds"],
        row.get("peak_bytes"),
        flops,
        flops and top and flops / top,
        row.get("roofline"),
        row.get("note", ""),
    )


@functools.cache
def operations(net: str, mode: str) -> float | None:
    """Products and sums for an image in a net of the benchmark; None for anything else.

    A train step has the forward pass and two gradients, each of as many.
    """
    case = CASES.get(net)
    if not isinstance(case, Case):
        return None
    return 2.0 * count_net(case.net(), case.image).macs * (3 if mode == "train" else 1)


def cells(entry: Line) -> tuple[object, ...]:
    """The cells of a line in the table."""
    none = "–"
    rate = none
    if entry.rate is not None:
        rate = f"{entry.rate:.3g} ({entry.slowest:.3g} to {entry.fastest:.3g})"
    return (
        entry.part,
        entry.timed,
        entry.by,
        none if entry.batch is None else entry.batch,
        rate,
        ratio_of(entry.by, entry.ratio),
        none if entry.compile_seconds is None else f"{entry.compile_seconds:.1f}",
        none if entry.peak_bytes is None else f"{entry.peak_bytes / 2**30:.2f}",
        none if entry.flops is None else f"{entry.flops / 1e12:.1f}",
        none if entry.share is None else f"{100 * entry.share:.0f}",
        none if entry.roofline is None else f"{100 * entry.roofline:.0f}",
        entry.note,
    )
