"""The net's input in training, to be looked at."""

from typing import Any

import jax
import numpy as np

from jresnet.tasks.base import Pictures, Task
from jresnet.train.data import HostBatch

SHOWN = 16  # images


def input_pictures(task: Task, batch: HostBatch, key: jax.Array) -> np.ndarray | None:
    """The first images of this host's batch, augmented as in training: uint8 `[n, H, W, 1 or 3]`.

    Partners for mixing are taken from among them. Of a film its first frame is shown, of channels that are no
    colours the first. None for a task that is no `Pictures`, and for what has not two dimensions.
    """
    if not isinstance(task, Pictures) or np.ndim(batch["image"]) < 4:
        return None
    few = {name: rows[:SHOWN] for name, rows in batch.items()}
    cpu = jax.default_backend() == "cpu"
    options: Any = {"xla_backend_optimization_level": 0} if cpu else None  # it runs once
    images = jax.jit(task.pictures).lower(few, key).compile(compiler_options=options)(few, key)
    shown = np.asarray(images)
    while shown.ndim > 4:
        shown = shown[:, 0]
    shown = shown if shown.shape[-1] == 3 else shown[..., :1]
    return np.rint(255 * shown).astype(np.uint8)
