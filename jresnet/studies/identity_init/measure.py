"""Nets by initialisation scheme, and their blocks before training."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.chain import chain
from jresnet.analysis.identity import branch_changes
from jresnet.experiment import Experiment
from jresnet.models.fixup import fixup
from jresnet.models.gates import SkipInit
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part

Scheme = Literal["BatchNorm", "zero gamma", "He", "SkipInit", "Fixup"]
SCHEMES: tuple[Scheme, ...] = ("BatchNorm", "zero gamma", "He", "SkipInit", "Fixup")


def with_scheme(scheme: Scheme, net: Classifier) -> Classifier:
    """The net with the parts of an initialisation scheme."""
    backbone: Any = net.backbone
    bare = {"norm": NoNorm, "conv": part(Conv, use_bias=True)}
    if scheme == "Fixup":
        return fixup(net)
    fields: dict[str, Any] = {
        "BatchNorm": {},
        "zero gamma": {"zero_init_residual": True},
        "He": bare,
        "SkipInit": {**bare, "gate": SkipInit},
    }[scheme]
    return net.clone(backbone=backbone.clone(**fields))


def at_start(experiment: Experiment, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`branch_changes` of a net before training, on the first 64 training images."""
    task: Any = experiment.task
    batch = next(experiment.data.examples("train", (0, 1)))
    images = task.normalize(jnp.asarray(batch["image"][:64]))
    key = jax.random.split(jax.random.key(seed))[0]
    variables = jax.jit(task.init)(key, {"image": jnp.asarray(batch["image"][:2])})
    changes, sizes = branch_changes(chain(task.model), variables, images)
    return np.asarray(changes), np.asarray(sizes)
