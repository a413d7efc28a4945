"""Weights & Biases and MLflow as sinks of a run's metrics; both are extras.

The identity of the run there is kept in the training's folder, so that a resumed training goes on
in the same one. What is done again after a kill has the same numbers, and is not sent twice where
the service says how far it came.

A service that cannot be opened ends the run before it trains. One that fails later does not:
metrics.jsonl has all. A line tells of it, and another one at the end says what was not sent.
"""

import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.extras import library
from jresnet.storage import read_json, write_json
from jresnet.text import shown
from jresnet.train.loop import Interrupted

PROJECT = "jresnet"  # unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME says otherwise
PAUSE = 300.0  # seconds without a try after a failure: libraries repeat each call for minutes
_MLFLOW_NAME = re.compile(r"[^\w\-. :/]")

log = logging.getLogger(__name__)


class Service:
    """Sends to a service that may fail while the training goes on.

    - service: its name.
    - unsent: the steps whose points or pictures it did not take.
    """

    def __init__(self, service: str):
        self.service = service
        self.unsent: list[int] = []
        self._again = 0.0  # the time of the next try

    def send(self, step: int, call: Callable[[], object]) -> None:
        """Call, unless the last failure is less than PAUSE ago; of failures the first is told."""
        if time.monotonic() >= self._again:
            try:
                with _answering(self.service):
                    call()
                return
            except OSError as error:
                self._again = time.monotonic() + PAUSE
                if not self.unsent:
                    log.warning("%s; the training goes on, and metrics.jsonl has all", error)
        self.unsent.append(step)

    def end(self, call: Callable[[], object]) -> None:
        """The last call, and a line about what was not sent."""
        try:
            with _answering(self.service):
                call()
        except OSError as error:
            log.warning("%s; its run there may not be closed", error)
        if self.unsent:
            log.warning(
                "%s did not take all of steps %d to %d; metrics.jsonl has them",
                self.service, min(self.unsent), max(self.unsent),
            )  # fmt: skip


class WandbSink(Service):
    """A training's run in Weights & Biases, named `name`, with its arguments as `config`.

    Account, project and mode come from wandb's own variables: WANDB_MODE=offline writes into the
    folder, for `wandb sync`. Those that log in must have done so before.
    """

    def __init__(self, folder: Path, purge: int, name: str, config: Mapping[str, Any]):
        super().__init__("wandb")
        wandb = library("wandb", "wandb")
        self.image = wandb.Image
        identity = _kept(folder / "wandb.json", lambda: secrets.token_hex(4))
        offline = os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
        with _answering("wandb"):
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                id=identity,
                resume=None if offline else "allow",
                name=name,
                config=dict(config),
                dir=str(folder),
                settings=wandb.Settings(console="off", silent=True),
            )

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of several curves; the service drops steps that it has."""
        self.send(step, lambda: self.run.log(dict(values), step=step))

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`."""
        self.send(
            step, lambda: self.run.log({name: [self.image(image) for image in images]}, step=step)
        )

    def flush(self) -> None:
        """Nothing: wandb's own process writes and sends."""

    def close(self, error: BaseException | None = None) -> None:
        """Wait until all is written or sent: finished, preempted (SIGTERM, Ctrl-C) or failed.

        A run that is preempted is one that goes on: an agent of a sweep takes it up again.
        """

        def finish() -> None:
            if stopped(error):
                self.run.mark_preempting()
            self.run.finish(exit_code=0 if error is None else 1)

        self.end(finish)


class MlflowSink(Service):
    """A training's run in MLflow, named `name`, with its arguments as parameters.

    At MLFLOW_TRACKING_URI; without one in the folder itself, for
    `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`.
    """

    def __init__(self, folder: Path, purge: int, name: str, config: Mapping[str, Any]):
        super().__init__("mlflow")
        self.library = library("mlflow", "mlflow")
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        place = None if uri else (folder / "mlflow").absolute().as_uri()  # of pictures
        uri = uri or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        with _answering("mlflow"):
            self.client = self.library.MlflowClient(tracking_uri=uri)
            self.run = _kept(folder / "mlflow.json", lambda: self._begin(name, config, place))
            self.client.update_run(self.run, status="RUNNING")
            metrics = self.client.get_run(self.run).data.metrics
            histories = {key: self.client.get_metric_history(self.run, key) for key in metrics}
        self.newest = {key: max(one.step for one in all) for key, all in histories.items()}

    def _begin(self, name: str, config: Mapping[str, Any], place: str | None) -> str:
        """A new run; its identity."""
        project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self.client.get_experiment_by_name(project)
        experiment = known.experiment_id if known else self.client.create_experiment(project, place)
        run = self.client.create_run(experiment, run_name=name).info.run_id
        for key, value in config.items():
            self.client.log_param(run, key, value)
        return run

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Points of several curves, but those that an earlier sitting sent."""
        now, entities = int(time.time() * 1000), self.library.entities
        named = {_MLFLOW_NAME.sub("_", key): value for key, value in values.items()}
        points = [
            entities.Metric(key, float(value), now, step)
            for key, value in named.items()
            if step > self.newest.get(key, -1)
        ]
        if points:
            self.send(step, lambda: self.client.log_batch(self.run, metrics=points))

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`, side by side."""
        row, key = np.concatenate(list(images), axis=1), _MLFLOW_NAME.sub("_", name)
        self.send(step, lambda: self.client.log_image(self.run, row, key=key, step=step))

    def flush(self) -> None:
        """Nothing: each call is answered before it returns."""

    def close(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes in this sitting: finished, killed (SIGTERM, Ctrl-C) or failed."""
        status = "FINISHED" if error is None else "KILLED" if stopped(error) else "FAILED"
        self.end(lambda: self.client.set_terminated(self.run, status=status))


def stopped(error: BaseException | None) -> bool:
    """Whether a sitting ended by SIGTERM or Ctrl-C, and may go on."""
    return isinstance(error, Interrupted | KeyboardInterrupt)


@contextlib.contextmanager
def _answering(service: str) -> Iterator[None]:
    """Raise OSError, one line, for all that a service or its library refuses."""
    try:
        yield
    except Exception as error:  # of the library, the network below it, or a database
        raise OSError(f"{service}: {shown(error, 200) or type(error).__name__}") from error


def _kept(path: Path, begin: Callable[[], str]) -> str:
    """The identity in a file, which is made first if it is not there."""
    if not path.exists():
        write_json(path, {"id": begin()})
    return read_json(path)["id"]
