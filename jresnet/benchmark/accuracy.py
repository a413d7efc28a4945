"""Seconds to an accuracy: the short training on CIFAR-10, cold and warm."""

import dataclasses
import functools
import json
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jresnet.benchmark.jax_nets import cached_in
from jresnet.benchmark.timing import OURS
from jresnet.data.pipeline import ImageData
from jresnet.experiment import Experiment, Result, smoke
from jresnet.models.published import count_net
from jresnet.recipes.fast_cifar import BATCH, EVALUATED, WIDTH, fast_cifar, fast_net
from jresnet.report.conclusion import Conclusion, write_conclusion
from jresnet.report.html import Section, Table
from jresnet.runtime.mesh import make_mesh
from jresnet.storage import write_json
from jresnet.train.log import TIMING
from jresnet.train.loop import fit

AIM, IMAGE = 0.94, (32, 32, 3)
NET = "CIFAR-10 to 94 %"
SECONDS = "seconds.json"
HEADERS = ("training", "right, %", "seconds", "of steps, s", "compile s", "images/s")
AFTER = (
    "Seconds are those of the whole training, from the first state to the saved and evaluated last "
    "one; the set lies decoded in memory before. Cold compiles everything, warm reads the programs "
    "that the cold one left."
)


class Timed(NamedTuple):
    """One training: the share of the test images that are right, and its times.

    - seconds: of all of it; `steps`: of its steps alone; `compiling`: of the train step.
    - rate: images a second in its steps.
    """

    name: str
    accuracy: float
    seconds: float
    steps: float
    compiling: float
    rate: float


def training(data: ImageData, seed: int, shrunk: bool) -> Experiment:
    """The training of one seed; with `shrunk` a narrow net for two steps on made-up images.

    The seed is that of the first weights and of augmentation. The order of the images stays, so
    that they are read once.
    """
    dtype = None if jax.default_backend() == "cpu" else jnp.bfloat16
    net = fast_net(data.info().num_classes, 4 if shrunk else WIDTH, dtype)
    experiment = fast_cifar(net, data)
    plan = dataclasses.replace(experiment.plan, seed=seed)
    experiment = dataclasses.replace(experiment, plan=plan)
    return smoke(experiment) if shrunk else experiment


def conclude(
    dataset: str,
    data_dir: Path | None,
    repeats: int,
    shrunk: bool,
    folder: Path,
    results: Mapping[str, Result],
    provenance: Mapping[str, object],
) -> Conclusion:
    """Train cold and `repeats` times warm; write benchmark.json and the report.

    A training that ended is not done again; one that was interrupted begins anew, for its time
    would say nothing. Raises UsageError where the data are not there.

    Args:
        dataset: CIFAR-10 as `resolve.resolve` takes it.
        data_dir: folder of TFDS data sets.
        repeats: warm trainings, each of its own seed.
        shrunk: whether to train a narrow net for two steps.
        folder: the part's folder.
        results: unused, the trainings are no part of the study.
        provenance: versions and the like.
    """
    del results
    data = ImageData(dataset, BATCH, EVALUATED, data_dir)
    names = ["cold", *(f"warm {number + 1}" for number in range(repeats))]
    timed = [
        train(name, functools.partial(training, data, seed, shrunk), folder)
        for seed, name in enumerate(names)
    ]
    cold, warm = timed[:1], timed[1:]
    task: Any = training(data, 0, shrunk).task
    operations = 6.0 * count_net(task.model, IMAGE).macs
    rows = [row("cold", cold, operations), row("warm", warm, operations)]
    record = {**provenance, "rows": rows, "trainings": [one._asdict() for one in timed]}
    (folder / "benchmark.json").write_text(json.dumps(record, indent=1) + "\n")
    summary = f"Cold: {rows[0]['note']}. Warm: {rows[1]['note']}."
    table = Table(HEADERS, [cells(one) for one in timed], AFTER)
    sections = [Section("Trainings", [table])]
    return write_conclusion(folder, NET, summary, sections, provenance)


def train(name: str, build: Callable[[], Experiment], folder: Path) -> Timed:
    """One training in a folder of its name, by the one loop; read if it ended before."""
    place = folder / name.replace(" ", "-")
    if (place / SECONDS).is_file():
        return Timed(**json.loads((place / SECONDS).read_text()))
    shutil.rmtree(place, ignore_errors=True)
    experiment = build()
    experiment.data.check()
    with cached_in(folder / "compiled"):
        begun = time.perf_counter()
        fitted = fit(
            experiment.task,
            experiment.optimizer,
            experiment.data,
            experiment.plan,
            place,
            name,
            make_mesh(1),
            sinks=(),
        )
        seconds = time.perf_counter() - begun
    steps, compiling = times(place / TIMING, experiment.data.batch_size)
    images = experiment.plan.steps * experiment.data.batch_size
    accuracy = 1 - fitted.metrics["test"]["error"]
    timed = Timed(name, accuracy, seconds, steps, compiling, images / steps)
    write_json(place / SECONDS, timed._asdict())
    return timed


def times(log: Path, batch_size: int) -> tuple[float, float]:
    """Seconds of all steps, and of compiling the train step, by a training's log of times."""
    steps, compiling, before = 0.0, 0.0, 0
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        compiling += entry.get("compile_seconds", 0.0)
        if rate := entry.get("images_per_second"):
            steps += (entry["step"] - before) * batch_size / rate
            before = entry["step"]
    return steps, compiling


def row(mode: str, timed: Sequence[Timed], operations: float) -> dict[str, Any]:
    """The row of the benchmark's record for the trainings of one mode.

    `operations` are products and sums of training on one image.
    """
    rates = [one.rate for one in timed]
    return {
        "net": NET,
        "mode": mode,
        "contestant": OURS,
        "batch": BATCH,
        "images_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "ratio": 1.0,
        "compile_seconds": statistics.median(one.compiling for one in timed),
        "operations": operations,
        "seconds": statistics.median(one.seconds for one in timed),
        "accuracy": statistics.mean(one.accuracy for one in timed),
        "note": note(timed),
    }


def note(timed: Sequence[Timed]) -> str:
    """The accuracy and the seconds of some trainings in words."""
    accuracies = [100 * one.accuracy for one in timed]
    right = f"{statistics.mean(accuracies):.2f} % right"
    if len(timed) > 1:
        reached = sum(one.accuracy >= AIM for one in timed)
        right += f" ({min(accuracies):.2f} to {max(accuracies):.2f}; {reached} of {len(timed)} "
        right += f"at {100 * AIM:.0f} % or more)"
    seconds = statistics.median(one.seconds for one in timed)
    steps = statistics.median(one.steps for one in timed)
    return f"{right}, {seconds:.1f} s, {steps:.1f} s of them steps"


def cells(one: Timed) -> tuple[object, ...]:
    """The cells of a training in the table."""
    return (
        one.name,
        f"{100 * one.accuracy:.2f}",
        f"{one.seconds:.1f}",
        f"{one.steps:.1f}",
        f"{one.compiling:.1f}",
        f"{one.rate:.3g}",
    )
