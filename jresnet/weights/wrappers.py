"""Names of a net inside of others: DataParallel, torch.compile, Lightning, MoCo, detectors."""

import logging
from collections.abc import Mapping

import numpy as np

from jresnet.text import shown
from jresnet.weights.layout import Layout
from jresnet.weights.layouts import LAYOUTS, UnknownError, locate

log = logging.getLogger(__name__)

# Their last layer is made for a contrastive loss, not for classes.
CONTRASTIVE = ("encoder_q.", "base_encoder.")
COUNTERS = ("num_batches_tracked", "n_averaged")


def unwrapped(
    state: Mapping[str, np.ndarray], layouts: tuple[Layout, ...] = LAYOUTS
) -> dict[str, np.ndarray]:
    """The entries of the one net in a checkpoint, without the wrappers before their names.

    `layouts` are those to look for, by default all that are known.

    Counters are dropped. If wrappers had to be removed, what stands outside of them is left out,
    and a warning says so. Names of another layout keep their wrappers. Raises ValueError if the
    names are of several nets, or if two become one.
    """
    names = {name: name.replace("_orig_mod.", "") for name in state if not name.endswith(COUNTERS)}
    try:
        layout, prefix = locate(names.values(), layouts)
    except UnknownError:
        return {short: np.asarray(state[name]) for name, short in names.items()}
    inside = {
        name: short.removeprefix(prefix)
        for name, short in names.items()
        if short.startswith(prefix)
    }
    if prefix.endswith(CONTRASTIVE):
        inside = {n: short for n, short in inside.items() if not layout.is_beside(short)}
    left = [name for name in names if name not in inside]
    if left:
        log.warning(
            "the checkpoint's %s* is taken; %d others are left out, such as %s",
            prefix, len(left), shown(", ".join(left[:3]), 200),
        )  # fmt: skip
    if len(set(inside.values())) < len(inside):
        raise ValueError("two of its names differ in wrappers alone")
    return {short: np.asarray(state[name]) for name, short in inside.items()}
