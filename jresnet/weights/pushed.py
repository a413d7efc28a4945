"""A pushed folder: a net's weights and what rebuilds the net, without checkpoints and data.

It holds `model.safetensors` in torch's layout, `config.json`, whose entry `jresnet` is the part of
a run's record that predictions need, and a model card. `python -m jresnet push` writes it, and it
stands for a run's folder wherever weights are taken.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jresnet.errors import UsageError
from jresnet.models.headed import Headed, unrolled
from jresnet.models.published import abstract_variables
from jresnet.models.scan import unstack
from jresnet.storage import read_json
from jresnet.weights import files
from jresnet.weights.convert import WeightsError, from_torch
from jresnet.weights.layout import Layout
from jresnet.weights.layouts import layout_of
from jresnet.weights.recorded import CONFIG, ENTRY, Recorded

WEIGHTS, CARD = "model.safetensors", "README.md"
# Parts of a training's record that a pushed folder has: neither data nor where they lay, no optimizer.
_KEPT = ("task", "constants", "example", "classes")


def is_pushed(folder: Path) -> bool:
    """Whether `folder` was written by `push`."""
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        return False
    config = read_json(folder / CONFIG)
    return isinstance(config, dict) and isinstance(config.get(ENTRY), dict)


def record_for_others(recorded: Recorded) -> dict[str, Any]:
    """The part of a training's record that others need: net, task, images, classes.

    Of the data it keeps how an evaluated picture is cut, and no path.
    """
    kept = {name: recorded.parts.get(name) for name in _KEPT}
    data = recorded.parts.get("data")
    fields = data.get("fields", {}) if isinstance(data, Mapping) else {}
    fields = fields if isinstance(fields, Mapping) else {}
    transform = fields.get("eval_transform")
    return {"schema": 1, **kept, "data": {"fields": {"eval_transform": transform}}}


def pushed_layout(model: Headed, image: tuple[int, ...]) -> Layout:
    """The layout that a net's pushed weights are in, by the net alone."""
    return layout_of(model, abstract_variables(unrolled(model), image))


def recorded_variables(recorded: Recorded) -> dict[str, Any]:
    """The variables of the pushed net whose record this is, numpy arrays in canonical form.

    Raises UsageError for weights that are damaged or of another net.
    """
    path, model, image = recorded.folder / WEIGHTS, recorded.model(), recorded.image
    try:
        variables = from_torch(files.load(path), model, pushed_layout(model, image), image=image)
    except WeightsError as error:
        raise UsageError(f"weights {str(path)!r}: {error}") from error
    return jax.tree.map(np.asarray, unstack(variables))
