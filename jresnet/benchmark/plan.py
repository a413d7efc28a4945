"""Everything that is to be measured on an accelerator, part by part, in one table.

The parts are the other benchmarks with their arguments. Each leaves its own folder, so that a plan
that was cut short goes on with the same command.
"""

import functools
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from jresnet.benchmark import (
    accuracy,
    agents,
    analyses_report,
    convolutions,
    input_report,
    nets_report,
    work,
)
from jresnet.benchmark.input_sets import Kind
from jresnet.benchmark.plan_lines import AFTER, HEADERS, Line, cells, failed_line, line
from jresnet.benchmark.timing import first_line
from jresnet.errors import UsageError
from jresnet.experiment import Conclude, Result, Study
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Section, Table
from jresnet.report.text import format_markdown
from jresnet.train.loop import Interrupted

log = logging.getLogger(__name__)

Name = Literal["accelerator"]
TABLE, RECORD, FAILURE = "plan.md", "plan.json", "failure.txt"
NETS = ("resnet50", "resnet18", "resnet152", "resnext50_32x4d", "wrn28_10", "r3d_18")
CLIPS = {64: 8, 256: 32, 1024: 64}  # clips a step, where other nets have so many images


class Part(NamedTuple):
    """One benchmark of a plan: the name of its folder, and what measures and writes into it."""

    name: str
    conclude: Conclude


def accelerator(
    peers: bool,
    repeats: int,
    seconds: float,
    shrunk: bool = False,
    dataset: str = "cifar10",
    data_dir: Path | None = None,
) -> Iterator[Part]:
    """The parts for an accelerator, the most wanted first; `shrunk` to two images a step.

    `dataset` and `data_dir` are where CIFAR-10 lies.
    """

    def nets(names: Sequence[str], batch: int | None, **how: Any) -> Conclude:
        how = {"modes": ("train", "infer"), "also": (), "peers": peers} | how
        size = 2 if shrunk else batch
        timed = functools.partial(nets_report.conclude, tuple(names))
        return functools.partial(
            timed, how["modes"], how["peers"], how["also"], repeats, seconds, size
        )

    def at(batch: int) -> Iterator[Part]:
        for name in NETS:
            size = CLIPS[batch] if name == "r3d_18" else batch
            yield Part(f"{name}-{size}", nets([name], size))

    yield from at(256)
    to_aim = functools.partial(accuracy.conclude, dataset, data_dir, repeats, shrunk)
    yield Part("cifar10", to_aim)
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
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds:
        timed = functools.partial(input_report.conclude, kind, peers, repeats, seconds, shrunk)
        yield Part(f"input-{kind}", timed)
    for size in (64, 1024):
        yield from at(size)


PLANS: dict[Name, Callable[..., Iterator[Part]]] = {"accelerator": accelerator}


def study(
    name: Name,
    peers: bool,
    repeats: int,
    seconds: float,
    minutes: float,
    dataset: str = "cifar10",
    data_dir: Path | None = None,
) -> Study:
    """All parts of a plan, or with --smoke the same of two images a step, each timed once.

    Args:
        name: the plan.
        peers: whether to time the peers too.
        repeats: timings of each contestant.
        seconds: length of each timing.
        minutes: no part begins after so many.
        dataset: CIFAR-10, which one part trains on.
        data_dir: folder of TFDS data sets.
    """
    where = {"dataset": dataset, "data_dir": data_dir}
    full = list(PLANS[name](peers, repeats, seconds, **where))
    small = list(PLANS[name](peers, 1, 1e-6, shrunk=True, **where))
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
        if ended(folder / part.name) or failed(folder / part.name):
            continue
        if clock() - begun > 60 * minutes:
            break
        measure(part, folder / part.name, results, provenance)
        write(folder, parts, provenance)
    lines, others = write(folder, parts, provenance)
    reasons = {name: failed(folder / name) for name in others}
    faulty = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
    missing = [name for name, reason in reasons.items() if not reason]
    summary = f"{len(parts) - len(others)} of {len(parts)} parts are measured."
    if missing:
        summary += f" Missing: {', '.join(missing)}; the same command goes on with them."
    if faulty:
        summary += f" Failed: {'; '.join(faulty)}. A part without its {FAILURE} is tried again."
    table = Table(HEADERS, [cells(line) for line in lines], AFTER)
    return write_conclusion(folder, "Plan", summary, [Section("All parts", [table])], provenance)


def measure(
    part: Part, folder: Path, results: Mapping[str, Result], provenance: Mapping[str, object]
) -> None:
    """Measure a part; an error is written into its folder, so that the other parts have their turn."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        part.conclude(folder, results, provenance)
    except Interrupted:  # by Ctrl-C or SIGTERM: it is measured when the plan goes on
        raise
    except Exception as error:
        # What a user can mend, such as data that are not there, needs no traceback.
        show = log.warning if isinstance(error, UsageError) else log.exception
        show("part %s failed: %s", part.name, first_line(error))
        (folder / FAILURE).write_text(f"{first_line(error)}\n\n{traceback.format_exc()}")


def failed(folder: Path) -> str | None:
    """The first line of what a part failed with; None if it did not."""
    file = folder / FAILURE
    return file.read_text().splitlines()[0] if file.is_file() else None


def ended(folder: Path) -> bool:
    """Whether a part was measured to its end: its report is written last."""
    return (folder / "report.html").is_file()


def write(
    folder: Path, parts: Sequence[Part], provenance: Mapping[str, object]
) -> tuple[list[Line], list[str]]:
    """Write the table of the parts that ended or failed; its lines, and the parts that did not end."""
    lines: list[Line] = []
    for part in parts:
        if ended(folder / part.name):
            record = json.loads((folder / part.name / "benchmark.json").read_text())
            lines += [line(part.name, row) for row in record["rows"]]
        elif reason := failed(folder / part.name):
            lines.append(failed_line(part.name, reason))
    record = {**provenance, "lines": [entry._asdict() for entry in lines]}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    table = format_markdown(HEADERS, [cells(entry) for entry in lines])
    versions = json.dumps(provenance, indent=1, default=str)
    (folder / TABLE).write_text(f"{table}\n\n{AFTER}\n\n```json\n{versions}\n```\n")
    return lines, [part.name for part in parts if not ended(folder / part.name)]
