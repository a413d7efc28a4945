"""The sinks that a run's words name, with the facts that they show beside the curves."""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jresnet.errors import UsageError
from jresnet.extras import library
from jresnet.store.bucket import is_remote
from jresnet.train.board import Board
from jresnet.train.log import OpensSink
from jresnet.train.sinks import MlflowSink, WandbSink

_EXTRAS = {"wandb": WandbSink, "mlflow": MlflowSink}  # each is an extra of its name


def check_sinks(names: Sequence[str], workdir: Path | None) -> None:
    """Raise UsageError for a sink whose library is not installed, or that cannot be stored whole."""
    for name in names:
        if name in _EXTRAS:
            library(name, name)
    # A database that changes while it is uploaded is not the same in the store.
    if "mlflow" in names and is_remote(workdir) and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise UsageError(
            f"log_to=mlflow: expected a server's address in MLFLOW_TRACKING_URI with workdir={workdir}"
        )


def open_sinks(names: Sequence[str], label: str, config: Mapping[str, Any]) -> list[OpensSink]:
    """Openers of the sinks of a training, each named sink once.

    Args:
      names: of sinks.
      label: the training's name.
      config: the run's config.json.
    """
    facts = {**config["arguments"], "experiment": config["experiment"]}
    opening: list[OpensSink] = []
    for name in dict.fromkeys(names):
        kind = _EXTRAS.get(name)
        opening.append(functools.partial(kind, name=label, config=facts) if kind else Board)
    return opening
