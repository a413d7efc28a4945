"""State dicts in torch layout to variables and back."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.models.heads import Classifier
from jresnet.models.published import abstract_variables
from jresnet.models.scan import stack, unstack
from jresnet.text import shown
from jresnet.weights.adapt import adapt_channels, inflate_kernel
from jresnet.weights.layouts import Layout, layout_of, recognise
from jresnet.weights.names import Path
from jresnet.weights.wrappers import unwrapped

log = logging.getLogger(__name__)

State = Mapping[str, np.ndarray]
Leaves = dict[Path, Any]


class WeightsError(ValueError):
    """A checkpoint that does not fit the net. The message lists everything that is wrong."""


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


def from_torch(
    state: State,
    model: Classifier,
    layout: Layout | None = None,
    *,
    strict: bool = True,
    new_head: bool = False,
    channels: int | None = None,
    inflate: bool = False,
    rng: jax.Array | None = None,
) -> dict[str, Any]:
    """Variables of `model` from a torch state dict of numpy arrays; numpy leaves, float32 or wider.

    `layout` is recognised from the names if not given. Wrappers before them, such as `module.`
    (DataParallel), are dropped and `num_batches_tracked` ignored.

    `new_head` leaves the checkpoint's head out, if it has one, and starts a fresh one.
    `channels` adapts the first convolution to another number of input channels, `inflate` every
    2-D kernel to the net's 3-D one (`jresnet.weights.adapt`).

    Strict: raises WeightsError, listing every missing, unexpected and misshapen entry. Not
    strict: what fits is taken, the rest starts as `model.init(rng)` and is logged as a warning.
    """
    state = unwrapped(state, layout)
    layout = layout or recognise(state)
    shapes = _shapes(model, layout, state, channels, inflate)
    found, mismatch = _match(shapes, state, layout, new_head, channels, inflate)
    if mismatch and strict:
        raise WeightsError(f"the checkpoint ({layout.name} names) does not fit: {mismatch}")
    if mismatch:
        log.warning("the checkpoint (%s names) does not fit: %s", layout.name, shown(mismatch))
    fresh = [path for path in shapes if path not in found]
    if fresh:
        log.warning("starting fresh: %s", ", ".join("/".join(path) for path in fresh))
        found |= _initial(model, shapes, jax.random.key(0) if rng is None else rng, fresh)
    tree = _nested({path: found[path] for path in shapes})
    return jax.tree.map(np.asarray, stack(tree)) if model.backbone.scan else tree


def to_torch(
    variables: Mapping[str, Any], model: Classifier, layout: Layout | None = None
) -> dict[str, np.ndarray]:
    """The state dict of `variables`: numpy arrays in torch's layout, under the layout's names.

    `layout` is by default that of the code base which has the net. `num_batches_tracked`, which
    nothing here counts, is left out; torch accepts that.
    """
    layout = layout or layout_of(model)
    return {
        layout.torch_name(path[1:]): _theirs(np.asarray(value), path, layout)
        for path, value in _flat(unstack(variables)).items()
    }


def _shapes(
    model: Classifier, layout: Layout, state: State, channels: int | None, inflate: bool
) -> dict[Path, tuple[int, ...]]:
    """The net's shapes for images of the rank and channels that the checkpoint is for."""
    deep = len(model.backbone.stem(parent=None).convs) > 1
    stem = layout.torch_name(("backbone", "stem", "conv1" if deep else "conv", "kernel"))
    if stem not in state:
        raise WeightsError(f"the checkpoint ({layout.name} names) has no {stem}")
    kernel = state[stem]
    if not 3 <= kernel.ndim <= 5 or not kernel.size:
        raise WeightsError(f"the checkpoint's {stem} {kernel.shape} is no convolution of images")
    image = (64,) * (3 if inflate else kernel.ndim - 2) + (channels or kernel.shape[1],)
    unrolled = model.clone(backbone=model.backbone.clone(scan=False))
    return {path: leaf.shape for path, leaf in _flat(abstract_variables(unrolled, image)).items()}


def _match(
    shapes: dict[Path, tuple[int, ...]],
    state: State,
    layout: Layout,
    new_head: bool,
    channels: int | None,
    inflate: bool,
) -> tuple[Leaves, Mismatch]:
    """What of the checkpoint fits, in our layout, and what does not."""
    found: Leaves = {}
    missing, misshapen = [], []
    names = {path: layout.torch_name(path[1:]) for path in shapes}
    for path, name in names.items():
        if new_head and path[1] == "head":
            continue
        if name not in state:
            missing.append(name)
            continue
        value = _ours(state[name], path)
        if channels is not None and path[1:3] == ("backbone", "stem") and path[-1] == "kernel":
            value = adapt_channels(value, shapes[path][-2])
        if inflate and path[-1] == "kernel" and path[1] != "head":
            value = inflate_kernel(value, shapes[path][:-2])
        if value.shape != shapes[path]:
            hint = "; new_head=True replaces the head" if path[1] == "head" else ""
            misshapen.append(
                f"{name} {_swap(value.shape)} where the net has {_swap(shapes[path])}{hint}"
            )
        else:
            found[path] = value
    known = set(names.values())
    others = (name for name in state if name not in known)
    # What stands where the head was, such as the two layers of a contrastive loss, goes with it.
    unexpected = tuple(n for n in others if not (new_head and n.startswith(f"{layout.head}.")))
    return found, Mismatch(tuple(missing), unexpected, tuple(misshapen))


def _ours(value: np.ndarray, path: Path) -> np.ndarray:
    """Torch's layout to ours: OI... to ...IO, and a 1x1 convolution's head to a matrix."""
    value = value.astype(np.promote_types(value.dtype, np.float32), copy=False)
    if path[-1] != "kernel":
        return value
    if path[1] == "head" and value.ndim > 2:
        value = value.reshape(value.shape[:2])
    return np.moveaxis(value, (0, 1), (-1, -2)) if value.ndim > 1 else value


def _theirs(value: np.ndarray, path: Path, layout: Layout) -> np.ndarray:
    if path[-1] != "kernel":
        return value
    value = np.ascontiguousarray(np.moveaxis(value, (-1, -2), (0, 1)))
    if path[1] == "head" and layout.head_is_convolution:
        return value.reshape(*value.shape, 1, 1)
    return value


def _swap(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A kernel's shape as torch writes it."""
    return shape if len(shape) < 2 else (shape[-1], shape[-2], *shape[:-2])


def _initial(
    model: Classifier, shapes: dict[Path, tuple[int, ...]], rng: jax.Array, fresh: list[Path]
) -> Leaves:
    """Freshly drawn values of some leaves."""
    stem = next(
        shape for path, shape in shapes.items() if path[2] == "stem" and path[-1] == "kernel"
    )
    unrolled = model.clone(backbone=model.backbone.clone(scan=False))
    image = jnp.zeros((1, *(64,) * (len(stem) - 2), stem[-2]))

    @jax.jit  # draws what is asked for and no more
    def draw(key: jax.Array) -> list[jax.Array]:
        drawn = _flat(unrolled.init(key, image, train=False))
        return [drawn[path] for path in fresh]

    return {path: np.asarray(leaf) for path, leaf in zip(fresh, draw(rng), strict=True)}


def _flat(tree: Mapping[str, Any]) -> Leaves:
    return {
        tuple(entry.key for entry in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(tree))
    }


def _nested(leaves: Leaves) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for (*owner, leaf), value in leaves.items():
        node = tree
        for key in owner:
            node = node.setdefault(key, {})
        node[leaf] = value
    return tree
