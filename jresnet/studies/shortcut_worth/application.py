"""An application of residual nets, as the study of their worth trains it."""

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jresnet.experiment import Experiment, Result
from jresnet.models import zoo


@dataclasses.dataclass(frozen=True)
class Case:
    """One training of an application.

    - blocks: residual blocks of each stage of the net.
    - residual: whether they have shortcuts.
    - seed: of the initialisation and the order of examples.
    - steps: length, in the unit of the application.
    - folder: where the data sets lie.
    """

    blocks: int
    residual: bool
    seed: int
    steps: int
    folder: Path

    @property
    def net(self) -> str:
        """`residual-3` or `plain-3`."""
        return f"{'residual' if self.residual else 'plain'}-{self.blocks}"

    @property
    def label(self) -> str:
        """`residual-3-seed0`: the name of the training's folder."""
        return f"{self.net}-seed{self.seed}"

    def twin(self, net: Any) -> Any:
        """The net, or its plain twin where the case has no shortcuts."""
        return net if self.residual else zoo.plain(net)


Build = Callable[[Case], Experiment]


def layers(blocks: int) -> int:
    """Layers of a net with three stages of so many basic blocks, its first and its last."""
    return 6 * blocks + 2


@dataclasses.dataclass(frozen=True)
class Application:
    """An application: how its training is built, and the number that it is judged by.

    - name: in folders and on the command line.
    - title: in words.
    - build: the training of a case.
    - metric: of the test split, as results have it, times `scale`.
    - unit: the metric in words, with its unit.
    - lower: whether less is better.
    - blocks: of each stage, the shallow and the deep net.
    - steps: length of a training here; `usual` that of the application's own default run.
    - counted: the unit of both.
    - tested: examples of the test split, each right or wrong, whose share the metric is; 0 for
      another kind of metric.
    - data: files or folders that it needs, in the folder of the data sets.
    - library: a module that it needs, and the extra that brings it.
    - command: the application's own run.
    - published: a number of a paper, with its source, and what separates it from the run here.
    - note: for the table, if something must be known.
    - arguments: of its experiments, each with a part of the value that tells its runs from those of
      other applications; an experiment without that argument need not have it.
    - others: experiments besides that of `command` whose runs are the application's too.
    - nets: whole names in its own runs of residual nets and of plain ones, as regexes.
    - sources: trainings that must come before a case's, by their labels.
    """

    name: str
    title: str
    build: Build
    metric: str
    unit: str
    blocks: tuple[int, ...]
    steps: int
    usual: int
    command: str
    published: str
    scale: float = 1.0
    lower: bool = False
    counted: str = "steps"
    tested: int = 0
    data: tuple[str, ...] = ()
    library: tuple[str, str] | None = None
    note: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    others: tuple[str, ...] = ()
    nets: tuple[str, str] = (r"(?!plain).*", r"plain.*")
    sources: Callable[[Case], Mapping[str, Experiment]] | None = None

    def lacking(self, folder: Path | None) -> str | None:
        """Why it cannot be run here and what would bring it; None if it can."""
        if self.library is not None and importlib.util.find_spec(self.library[0]) is None:
            module, extra = self.library
            return f"{module} is not installed: pip install 'jresnet[{extra}]'"
        if folder is None and self.data:
            return f"data=None: expected a folder with {' and '.join(self.data)}"
        missing = [name for name in self.data if folder and not (folder / name).exists()]
        if missing:
            return f"data={folder}: expected {' and '.join(missing)} in it"
        return None

    def matches(self, experiment: str, arguments: Mapping[str, object]) -> bool:
        """Whether a run of that experiment with these arguments is one of the application."""
        return experiment in (self.command.split()[2], *self.others) and all(
            part in str(arguments[name]) for name, part in self.arguments if name in arguments
        )

    @property
    def judged(self) -> str:
        """The metric in words with an arrow, down where less is better."""
        return f"{self.unit} {'↓' if self.lower else '↑'}"

    def value(self, result: Result) -> float:
        """The metric of a finished training in its unit; NaN for one that diverged."""
        return self.scale * result.metrics.get("test", {}).get(self.metric, float("nan"))

    def gain(self, residual: float, plain: float) -> float:
        """The residual net's value less the plain one's, positive where shortcuts help."""
        return plain - residual if self.lower else residual - plain


def shortened(experiment: Experiment, **plan: Any) -> Experiment:
    """A training of the study: evaluated at its end only, saved halfway; it may diverge."""
    steps = plan.get("steps", experiment.plan.steps)
    together = experiment.plan.steps_per_dispatch
    half = max(1, steps // 2 // together) * together
    changed = dataclasses.replace(
        experiment.plan,
        **{"eval_every": None, "save_every": half, "final_splits": ("test",), **plan},
    )
    return dataclasses.replace(experiment, plan=changed, may_diverge=True)
