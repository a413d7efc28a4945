"""An experiment: one training of live objects, or a study of several."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optax

from jresnet.report.conclusion import Conclusion
from jresnet.tasks.base import Task
from jresnet.train.data import Data
from jresnet.train.loop import Plan
from jresnet.train.sharding import Rules


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One training, as live objects.

    - start: variables to start from, in canonical (unrolled) form; all others start fresh.
    - start and constants may be functions from the results of the study's trainings before, such as
      that of the weights which are fine-tuned here (`after`).
    - keep_outputs: splits for which the trained task's outputs of every example are written to
      `outputs-<split>.npz`.
    - may_diverge: whether an infinite loss is a result; otherwise it ends the study.
    - constants: arrays that the task needs and that are neither trained nor saved, such as a loss
      network or a teacher.
    - sharding: rules by which arrays of the state are spread over the axes `data` and `model` of the
      mesh, each a regex over paths such as `params/head/kernel` and a PartitionSpec
      (`jresnet.train.sharding`).
    """

    task: Task
    data: Data
    optimizer: optax.GradientTransformation
    plan: Plan
    start: Any = None  # Variables | FromResults | None
    keep_outputs: tuple[str, ...] = ()
    may_diverge: bool = False
    constants: Any = None
    sharding: Rules = ()


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a finished training: metrics by split, seconds, number of parameters, folder.

    `diverged` says at which step the loss became infinite, if it did; there are no metrics then.
    """

    metrics: dict[str, dict[str, float]]
    seconds: float
    parameters: int
    folder: Path
    diverged: str | None = None


FromResults = Callable[[Mapping[str, Result]], Any]


def after(experiment: Experiment, results: Mapping[str, Result]) -> Experiment:
    """The experiment with its start and constants, where they depend on trainings before it."""
    fields = {name: getattr(experiment, name) for name in ("start", "constants")}
    computed = {name: value(results) for name, value in fields.items() if callable(value)}
    return dataclasses.replace(experiment, **computed) if computed else experiment


Conclude = Callable[[Path, Mapping[str, Result], Mapping[str, object]], Conclusion]


@dataclasses.dataclass(frozen=True)
class Study:
    """Several trainings and what is concluded from them.

    Each of `runs` trains in a folder of its name. `conclude(folder, results, provenance)` draws,
    writes the report, prints its table and returns the conclusion. `shortened`, if there is one,
    takes its place with --smoke. Each training draws so many `pictures` of examples at its end,
    without --pictures; a mapping has a number for some trainings, the others draw none.
    """

    runs: Mapping[str, Experiment]
    conclude: Conclude
    shortened: Conclude | None = None
    pictures: int | Mapping[str, int] = 0


def smoke(built: Any) -> Any:
    """Any experiment or study shrunk to two steps on synthetic data, the nets as they are."""
    if isinstance(built, Study):
        runs = {label: smoke(experiment) for label, experiment in built.runs.items()}
        return dataclasses.replace(built, runs=runs, conclude=built.shortened or built.conclude)
    every = dict.fromkeys(("eval_every", "save_every", "log_every", "steps_per_dispatch"), 1)
    plan = dataclasses.replace(built.plan, steps=2, **every)
    return dataclasses.replace(built, plan=plan, data=built.data.smoke())


def __getattr__(name: str) -> Any:
    """`launch`, which scripts of the first version import from here; see `jresnet.run.launch`."""
    if name != "launch":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jresnet.run.launch import launch

    return launch
