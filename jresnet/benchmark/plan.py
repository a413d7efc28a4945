"""Everything that is to be measured on an accelerator, part by part, in one table.

The parts are the other benchmarks with their arguments. Each leaves its own folder, so that a plan
that was cut short goes on with the same command.
"""

import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from jresnet.benchmark import agents, analyses_report, convolutions, nets_report, work
from jresnet.benchmark.cases import CASES, Case
from jresnet.benchmark.timing import OURS
from jresnet.experiment import Conclude, Result, Study
from jresnet.models.published import count_net
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Section, Table
from jresnet.report.text import format_markdown

Name = Literal["accelerator"]
TABLE, RECORD = "plan.md", "plan.json"
# Products and sums a second that the tensor cores do in bfloat16, by NVIDIA's data sheets, dense.
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
NETS = ("resnet18", "resnet50", "resnet152", "resnext50_32x4d", "wrn28_10", "r3d_18")
BATCHES = (64, 256, 1024)
CLIPS = (8, 32, 64)  # batches of a net whose images are clips
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
)
AFTER = (
    "Images a second; boxes for nms and roi_align, frames for agents. TFLOP/s are those of the net, two for a product "
    "and its sum, three times as many in training; the peak is that of the device's bfloat16."
)


class Part(NamedTuple):
    """One benchmark of a plan: the name of its folder, and what measures and writes into it."""

    name: str
    conclude: Conclude


class Line(NamedTuple):
    """One contestant in the plan's table; the last three are None where they are not known."""

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


def accelerator(peers: bool, repeats: int, seconds: float, shrunk: bool = False) -> Iterator[Part]:
    """The parts for an accelerator, the most wanted first; `shrunk` to two images a step."""

    def nets(names: Sequence[str], batch: int | None, **how: Any) -> Conclude:
        how = {"modes": ("train", "infer"), "also": (), "peers": peers} | how
        size = 2 if shrunk else batch
        timed = functools.partial(nets_report.conclude, tuple(names))
        return functools.partial(
            timed, how["modes"], how["peers"], how["also"], repeats, seconds, size
        )

    for batch, clips in zip(BATCHES, CLIPS, strict=True):
        for name in NETS:
            size = clips if name == "r3d_18" else batch
            yield Part(f"{name}-{size}", nets([name], size))
    deep = "cifar_resnet1001"
    yield Part(deep, nets([deep], 128, modes=("train",), peers=False))
    yield Part("maps", nets(["unet_resnet18"], None))
    for stride in (8, 16):
        names = [f"deeplab{stride}_{wanted}" for wanted in convolutions.PASSES]
        yield Part(f"deeplab{stride}", nets(names, None, modes=("infer",)))
    for kind in convolutions.KINDS:
        names = [f"{kind}_{wanted}" for wanted in convolutions.PASSES]
        yield Part(f"convolution-{kind}", nets(names, None, modes=("infer",)))
    yield Part("boxes", nets(["nms"], None, modes=("infer",)))
    yield Part("regions", nets(["roi_align"], None))
    yield Part("detector", nets(["faster_rcnn_resnet18"], None))
    yield Part("pictures", nets(["msrresnet_x4", "johnson"], None))
    yield Part("faces", nets(["iresnet50"], None))
    yield Part("people", nets(["people_1e5", "people_1e6"], None, modes=("train",)))
    yield Part("agents", nets([agents.at_hand()], None, modes=("train",)))
    depth, batch = (8, 2) if shrunk else (20, 1000)
    works: dict[work.Analysis, Callable[[Any], work.Work]] = {
        "landscape": functools.partial(work.landscape, depth, 51, batch),
        "lesions": functools.partial(work.lesions, 8 if shrunk else 110, batch),
        "products": functools.partial(work.products, depth, 50, batch),
    }
    for name, prepare in works.items():
        timed = functools.partial(analyses_report.conclude, {name: prepare})
        yield Part(name, functools.partial(timed, peers, 2000, batch, repeats, seconds))


PLANS: dict[Name, Callable[..., Iterator[Part]]] = {"accelerator": accelerator}


def study(name: Name, peers: bool, repeats: int, seconds: float, minutes: float) -> Study:
    """All parts of a plan, or with --smoke the same of two images a step, each timed once.

    Args:
        name: the plan.
        peers: whether to time the peers too.
        repeats: timings of each contestant.
        seconds: length of each timing.
        minutes: no part begins after so many.
    """
    full = list(PLANS[name](peers, repeats, seconds))
    small = list(PLANS[name](peers, 1, 1e-6, shrunk=True))
    return Study(
        {},
        functools.partial(conclude, full, minutes),
        shortened=functools.partial(conclude, small, minutes),
    )


def conclude(
    parts: Sequence[Part],
    minutes: float,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
    clock: Callable[[], float] = time.monotonic,
) -> Conclusion:
    """Measure the parts that are missing; write plan.json, plan.md and the report of all.

    Args:
        parts: those of the plan.
        minutes: none begins after so many. What runs is not cut short.
        folder: the run's folder; each part has one of its name in it.
        results: unused, there are no trainings.
        provenance: versions and the like, kept with each part.
        clock: seconds.
    """
    begun = clock()
    for part in parts:
        if ended(folder / part.name):
            continue
        if clock() - begun > 60 * minutes:
            break
        (folder / part.name).mkdir(parents=True, exist_ok=True)
        part.conclude(folder / part.name, results, provenance)
        write(folder, parts, provenance)
    lines, missing = write(folder, parts, provenance)
    summary = f"{len(parts) - len(missing)} of {len(parts)} parts are measured."
    if missing:
        summary += f" Missing: {', '.join(missing)}; the same command goes on with them."
    table = Table(HEADERS, [cells(line) for line in lines], AFTER)
    return write_conclusion(folder, "Plan", summary, [Section("All parts", [table])], provenance)


def ended(folder: Path) -> bool:
    """Whether a part was measured to its end: its report is written last."""
    return (folder / "report.html").is_file()


def write(
    folder: Path, parts: Sequence[Part], provenance: Mapping[str, object]
) -> tuple[list[Line], list[str]]:
    """Write the table of the parts that ended; returns its lines and the names of the others."""
    lines: list[Line] = []
    for part in parts:
        if ended(folder / part.name):
            record = json.loads((folder / part.name / "benchmark.json").read_text())
            lines += [line(part.name, row) for row in record["rows"]]
    record = {**provenance, "lines": [entry._asdict() for entry in lines]}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    table = format_markdown(HEADERS, [cells(entry) for entry in lines])
    versions = json.dumps(provenance, indent=1, default=str)
    (folder / TABLE).write_text(f"{table}\n\n{AFTER}\n\n```json\n{versions}\n```\n")
    return lines, [part.name for part in parts if not ended(folder / part.name)]


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
        "" if entry.by == OURS else f"{entry.ratio:.2f}",
        f"{entry.compile_seconds:.1f}",
        none if entry.peak_bytes is None else f"{entry.peak_bytes / 2**30:.2f}",
        none if entry.flops is None else f"{entry.flops / 1e12:.1f}",
        none if entry.share is None else f"{100 * entry.share:.0f}",
    )
