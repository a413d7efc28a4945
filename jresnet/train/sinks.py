"""Weights & Biases and MLflow as sinks of a run's metrics; both are extras.

The identity of the run there is kept in the training's folder, so that a resumed training goes on
in the same one. What is done again after a kill has the same numbers, and is not sent twice where
the service says how far it came.
"""

import contextlib
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

PROJECT = "jresnet"  # unless WANDB_PROJECT or MLFLOW_EXPERIMENT_NAME says otherwise
_MLFLOW_NAME = re.compile(r"[^\w\-. :/]")


class WandbSink:
    """A training's run in Weights & Biases, named `name`, with its arguments as `config`.

    Account, project and mode come from wandb's own variables: WANDB_MODE=offline writes into the
    folder, for `wandb sync`. Those that log in must have done so before.
    """

    def __init__(self, folder: Path, purge: int, name: str, config: Mapping[str, Any]):
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
        with _answering("wandb"):
            self.run.log(dict(values), step=step)

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`."""
        with _answering("wandb"):
            self.run.log({name: [self.image(image) for image in images]}, step=step)

    def flush(self) -> None:
        """Nothing: wandb's own process writes and sends."""

    def close(self) -> None:
        """Wait until all is written or sent."""
        with _answering("wandb"):
            self.run.finish()


class MlflowSink:
    """A training's run in MLflow, named `name`, with its arguments as parameters.

    At MLFLOW_TRACKING_URI; without one in the folder itself, for
    `mlflow ui --backend-store-uri sqlite:///FOLDER/mlflow.db`.
    """

    def __init__(self, folder: Path, purge: int, name: str, config: Mapping[str, Any]):
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
            with _answering("mlflow"):
                self.client.log_batch(self.run, metrics=points)

    def images(self, name: str, images: np.ndarray, step: int) -> None:
        """Pictures, uint8 `[n, H, W, 3]`, side by side."""
        row = np.concatenate(list(images), axis=1)
        with _answering("mlflow"):
            self.client.log_image(self.run, row, key=_MLFLOW_NAME.sub("_", name), step=step)

    def flush(self) -> None:
        """Nothing: each call is answered before it returns."""

    def close(self) -> None:
        """Say that nothing more comes in this sitting."""
        with _answering("mlflow"):
            self.client.set_terminated(self.run)


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
