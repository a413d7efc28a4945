"""The result of each application, out of the folders of finished runs."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jresnet.run.reading import FINISHED, Run, Training
from jresnet.studies.conclusion import by_net
from jresnet.studies.shortcut_worth.application import Application
from jresnet.studies.shortcut_worth.measure import decimals

WORTH = "experiments.shortcut_worth"


class Net(NamedTuple):
    """A net of a run and its finished trainings, one a seed."""

    name: str
    trainings: tuple[Training, ...]

    def value(self, application: Application) -> float | None:
        """The mean of the application's metric over seeds; None if a training has none."""
        scale, metric = application.scale, application.metric
        values = [
            scale * training.metrics.get("test", {}).get(metric, np.nan)
            for training in self.trainings
        ]
        return float(np.mean(values)) if np.isfinite(values).all() else None


@dataclasses.dataclass(frozen=True)
class Entry:
    """An application and where its result is from.

    - run: the run; None where there is none.
    - residual, plain: its deepest net, and the plain twin of that depth if the run has it.
    """

    application: Application
    run: Run | None = None
    residual: Net | None = None
    plain: Net | None = None

    @property
    def places(self) -> int:
        """Places after the point of the values of both nets."""
        values = (net.value(self.application) for net in (self.residual, self.plain) if net)
        return decimals([value for value in values if value is not None])

    @property
    def is_own(self) -> bool:
        """Whether the result is of the application's own experiment, not of the short trainings."""
        return self.run is not None and self.run.config["experiment"] != WORTH


def entry_of(application: Application, runs: Iterable[Run]) -> Entry:
    """The result of an application: of its own run if there is one, else of the short trainings.

    Of several runs the newest counts, and none that was a rehearsal (`--smoke`).
    """
    entries = [entry for run in runs if (entry := _read(application, run)) is not None]
    return max(entries, key=lambda entry: entry.is_own, default=Entry(application))


def _read(application: Application, run: Run) -> Entry | None:
    if run.damage is not None or run.config["arguments"].get("smoke"):
        return None
    if run.config["experiment"] == WORTH:
        begin = f"{application.name}/"
        nets = _nets(run.trainings, begin)
        kinds = r"residual-\d+", r"plain-\d+"
    elif application.matches(run.config["experiment"], run.config["arguments"]):
        nets = _nets(run.trainings, "")
        kinds = application.nets
    else:
        return None
    residual, plain = (_deepest(nets, kind) for kind in kinds)
    if residual is None:
        return None
    if plain is not None and _last_number(plain.name) != _last_number(residual.name):
        plain = None  # that of a shallower net: the run has stopped before the deep twin
    return Entry(application, run, residual, plain)


def _nets(trainings: Sequence[Training], begin: str) -> dict[str, Net]:
    """The nets whose labels begin so and whose trainings are all finished, without that beginning."""
    known = {t.label.removeprefix(begin): t for t in trainings if t.label.startswith(begin)}
    nets = {
        net: Net(net, tuple(known[label] for label in labels))
        for net, labels in by_net(sorted(known)).items()
    }
    return {
        name: net for name, net in nets.items() if all(t.state == FINISHED for t in net.trainings)
    }


def _deepest(nets: dict[str, Net], kind: str) -> Net | None:
    """The net with the largest last number among those whose whole name fits."""
    fitting = [net for name, net in nets.items() if re.fullmatch(kind, name)]
    return max(fitting, key=lambda net: _last_number(net.name), default=None)


def _last_number(name: str) -> int:
    numbers = re.findall(r"\d+", name)
    return int(numbers[-1]) if numbers else 0
