"""Names of a net inside of others, by the table of `jresnet.weights.prefixes`."""

import logging
from collections.abc import Mapping

import numpy as np

from jresnet.text import shown
from jresnet.weights.caffe2 import in_detectron2_names
from jresnet.weights.layout import Layout
from jresnet.weights.layouts import LAYOUTS, UnknownError, locate
from jresnet.weights.prefixes import CONTRASTIVE, EVERYWHERE, HEADS, LOSS_LAYERS

log = logging.getLogger(__name__)

COUNTERS = ("num_batches_tracked", "n_averaged")


def unwrapped(
    state: Mapping[str, np.ndarray], layouts: tuple[Layout, ...] = LAYOUTS
) -> dict[str, np.ndarray]:
    """The entries of the one net in a checkpoint, without the wrappers before their names.

    `layouts` are those to look for, by default all that are known.

    Counters are dropped. If wrappers had to be removed, what stands outside of them is left out,
    and a warning says so. So are the layers of a self-supervised loss, in a net without a head.
    Names of another layout keep their wrappers. Raises ValueError if the names are of several nets,
    or if two become one.
    """
    state = in_detectron2_names(state)
    names = {name: _bare(name) for name in state if not name.endswith(COUNTERS)}
    try:
        layout, prefix, twins = locate(names.values(), layouts)
    except UnknownError:
        return {short: np.asarray(state[name]) for name, short in names.items()}
    inside = {
        name: short.removeprefix(prefix)
        for name, short in names.items()
        if short.startswith(prefix)
    }
    if prefix.endswith(CONTRASTIVE):
        inside = {n: short for n, short in inside.items() if not layout.is_beside(short)}
    of_classifier = layout.base is None and not layout.is_open
    if of_classifier and layout.class_entry not in inside.values():
        inside = {n: s for n, s in inside.items() if s.partition(".")[0] not in LOSS_LAYERS}
        inside |= _head_beside(state, names, prefix, layout)
    left = [name for name in names if name not in inside]
    if left:
        log.warning(
            "the checkpoint's %s is taken%s; %d others are left out, such as %s",
            f"{prefix}*" if prefix else "net", "".join(f", not {twin}*" for twin in twins),
            len(left), shown(", ".join(left[:3]), 200),
        )  # fmt: skip
    if len(set(inside.values())) < len(inside):
        raise ValueError("two of its names differ in wrappers alone")
    return {short: np.asarray(state[name]) for name, short in inside.items()}


def _bare(name: str) -> str:
    for part in EVERYWHERE:
        name = name.replace(part, "")
    return name


def _head_beside(
    state: Mapping[str, np.ndarray], names: Mapping[str, str], prefix: str, layout: Layout
) -> dict[str, str]:
    """The entries of a linear head beside a wrapped backbone, under the layout's own names."""
    *outer, wrapper = prefix.split(".")[:-1] or [""]
    if not wrapper or layout.class_entry is None:
        return {}
    stored = {short: name for name, short in names.items()}
    layer = layout.class_entry.removesuffix(".weight")
    for head in HEADS:
        place = ".".join([*outer, head])
        entries = {f"{place}.{leaf}": f"{layer}.{leaf}" for leaf in ("weight", "bias")}
        if entries.keys() <= stored.keys() and state[stored[f"{place}.weight"]].ndim == 2:
            return {stored[entry]: short for entry, short in entries.items()}
    return {}
