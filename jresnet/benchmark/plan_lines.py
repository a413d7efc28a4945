"""Lines of a plan's table, out of the records of its parts."""

import functools
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
)
AFTER = (
    "Images a second; boxes for nms and roi_align, frames for agents. TFLOP/s are those of the net, two for a product "
    "and its sum, three times as many in training; the peak is that of the device's bfloat16."
)


class Line(NamedTuple):
    """One contestant in the plan's table; the last four are None where they are not known."""

    part: str
    timed: str
    by: str
    batch: int
    rate: float
    slowest: float
    fastest: float
    ratio: float
    compile_seconds: float
    peak_bytes: int | None
    flops: float | None
    share: float | None
    roofline: float | None


def line(part: str, row: Mapping[str, Any]) -> Line:
    """The line of a row of either benchmark's record."""
    analysis = row.get("analysis")
    timed = f"{analysis}, {row['net']}" if analysis else f"{row['net']}, {row['mode']}"
    per_image = None if analysis else operations(row["net"], row["mode"])
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
    return (
        entry.part,
        entry.timed,
        entry.by,
        entry.batch,
        f"{entry.rate:.3g} ({entry.slowest:.3g} to {entry.fastest:.3g})",
        ratio_of(entry.by, entry.ratio),
        f"{entry.compile_seconds:.1f}",
        none if entry.peak_bytes is None else f"{entry.peak_bytes / 2**30:.2f}",
        none if entry.flops is None else f"{entry.flops / 1e12:.1f}",
        none if entry.share is None else f"{100 * entry.share:.0f}",
        none if entry.roofline is None else f"{100 * entry.roofline:.0f}",
    )
