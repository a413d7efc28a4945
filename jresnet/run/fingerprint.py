"""The description of a training in JSON, by which another training is refused in its folder.

It is `training.json` in the training's folder. Predictions read their net and images from it, too
(`jresnet.weights.recorded`).
"""

import importlib.metadata
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jresnet.description import code, describe, differences
from jresnet.errors import UsageError
from jresnet.run import folder as run_folder
from jresnet.storage import as_json, read_json, write_json
from jresnet.store.places import addressed
from jresnet.weights.recorded import TRAINING

log = logging.getLogger(__name__)

SCHEMA = 1
_PACKAGES = ("jax", "flax", "optax")


def fingerprint(function: Callable[..., Any], experiment: Any) -> dict[str, Any]:
    """The task with its net, data, optimizer, plan and start of an experiment, and its code.

    Trainings with different fingerprints compute different things; only the versions of packages
    may differ.
    """
    data = experiment.data
    parts: dict[str, Any] = {
        name: describe(getattr(experiment, name))
        for name in ("task", "data", "optimizer", "plan", "start", "constants")
    }
    example = {
        name: {"shape": list(rows.shape[1:]), "dtype": str(rows.dtype)}
        for name, rows in data.example_batch.items()
    }
    info = data.info() if hasattr(data, "info") else None
    return {
        "schema": SCHEMA,
        **addressed(parts),
        "example": example,
        "sizes": None if info is None else dict(info.sizes),
        "classes": None if info is None else list(info.class_names),
        "code": code(function),
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def settle(folder: Path, label: str, new: Mapping[str, Any]) -> None:
    """Keep a training's fingerprint in its folder, or compare it with the one that is there.

    Raises UsageError if another training was begun in the folder.
    """
    path = folder / TRAINING
    if not path.exists():
        if not (folder / run_folder.RESULT).exists():  # else of a version that kept none
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, new)
        return
    old = read_json(path)
    if not isinstance(old, dict) or old.get("schema") != SCHEMA:
        raise UsageError(f"{str(path)!r}: expected a training as this version of jresnet keeps it")
    compared = ["task", "data", "plan", "start", "constants", "example", "sizes", "classes"]
    if old.get("packages") == new["packages"]:
        # Other versions of optax may close over other things.
        compared.append("optimizer")
    parted = [
        f"{part}{'.' * bool(where)}{where} {_short(there)} there, {_short(here)} now"
        for part in compared
        for where, there, here in differences(old.get(part), as_json(new[part]))
    ]
    if not parted and old.get("code") != new["code"]:
        log.warning("%s: the experiment's code has changed, what it builds has not", label)
    if parted:
        more = f" and {len(parted) - 3} more" if len(parted) > 3 else ""
        changed = "the experiment's code has changed: " if old.get("code") != new["code"] else ""
        raise UsageError(
            f"workdir {str(folder)!r} holds another training called {label} "
            f"({changed}{'; '.join(parted[:3])}{more}): take another --workdir"
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
