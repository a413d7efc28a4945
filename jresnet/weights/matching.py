"""The entries of a state dict that fit the arrays of a net, and what is wrong with the others."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jresnet.weights.adapt import adapt_channels, inflate_kernel
from jresnet.weights.forms import Form
from jresnet.weights.layout import Layout
from jresnet.weights.names import Path

State = Mapping[str, np.ndarray]
Leaves = dict[Path, Any]


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """Names that the net wants and the checkpoint lacks, the reverse, and other shapes."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        fields = dataclasses.asdict(self).items()
        return "; ".join(f"{kind}: {', '.join(names)}" for kind, names in fields if names)


def match(
    shapes: dict[Path, tuple[int, ...]],
    state: State,
    layout: Layout,
    new_head: bool,
    channels: int | None,
    inflate: bool,
) -> tuple[Leaves, Mismatch]:
    """The entries that fit, in our layout, and what is wrong with the others.

    Args:
        shapes: of the net's arrays, by their paths with the collection.
        state: the checkpoint, without wrappers.
        layout: of its names.
        new_head: look at the backbone alone; what the checkpoint has beside it is not unexpected.
        channels: of the net's input, to which the first convolution is adapted; None to leave it.
        inflate: make 2-D kernels of the backbone 3-D.
    """
    fitting: Leaves = {}
    missing, misshapen = [], []
    known = set()
    for path, shape in shapes.items():
        in_head = path[1] != "backbone"
        if new_head and in_head:
            continue
        try:
            name, form = layout.entry(path[1:])
        except ValueError:
            missing.append("/".join(path[1:]))
            continue
        known.add(name)
        if name not in state:
            missing.append(name)
            continue
        value = _ours(state[name], form, shape)
        if channels is not None and path[1:3] == ("backbone", "stem") and path[-1] == "kernel":
            value = adapt_channels(value, shape[-2])
        if inflate and path[-1] == "kernel" and not in_head:
            value = inflate_kernel(value, shape[:-2])
        if value.shape != shape:
            hint = "; new_head=True replaces the head" if in_head else ""
            wanted = form.theirs(np.broadcast_to(np.float32(0), shape)).shape
            misshapen.append(f"{name} {state[name].shape} where the net has {wanted}{hint}")
        else:
            fitting[path] = value
    unexpected = tuple(
        name
        for name in state
        if name not in known
        # Where the head was there may be others, such as the two layers of a contrastive loss.
        and not (new_head and layout.is_beside(name))
        and not any(re.fullmatch(p, name) for p in (*layout.ignored, *layout.left_out))
    )
    return fitting, Mismatch(tuple(missing), unexpected, tuple(misshapen))


def _ours(value: np.ndarray, form: Form, shape: tuple[int, ...]) -> np.ndarray:
    """An entry as it lies here; as it is if it cannot be brought there."""
    value = value.astype(np.promote_types(value.dtype, np.float32), copy=False)
    try:
        return form.ours(value, shape)
    except ValueError:  # an array of another rank or size, which the caller reports
        return value


def flat(tree: Mapping[str, Any]) -> Leaves:
    """The leaves of nested dicts by their paths."""
    return {
        tuple(entry.key for entry in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(tree))
    }


def nested(leaves: Leaves) -> dict[str, Any]:
    """Nested dicts of leaves by their paths."""
    tree: dict[str, Any] = {}
    for (*owner, leaf), value in leaves.items():
        node = tree
        for key in owner:
            node = node.setdefault(key, {})
        node[leaf] = value
    return tree
