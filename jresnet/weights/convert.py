"""State dicts in torch layout to variables and back."""

import dataclasses
import logging
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.models.headed import Headed, backbone_of, folded_axes, is_scanned, unrolled
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import ResNet
from jresnet.models.scan import stack, unstack
from jresnet.text import shown
from jresnet.weights.adapt import adapt_channels, inflate_kernel
from jresnet.weights.forms import Form
from jresnet.weights.layout import Layout
from jresnet.weights.layouts import known_for, layout_of, recognise
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
    model: Headed,
    layout: Layout | None = None,
    *,
    strict: bool = True,
    new_head: bool = False,
    channels: int | None = None,
    inflate: bool = False,
    image: tuple[int, ...] | None = None,
    rng: jax.Array | None = None,
) -> dict[str, Any]:
    """Variables of `model` from a torch state dict of numpy arrays; numpy leaves, float32 or wider.

    Wrappers before the names, such as `module.` (DataParallel), are dropped and
    `num_batches_tracked` ignored.

    Strict: raises WeightsError, listing every missing, unexpected and misshapen entry. Not
    strict: what fits is taken, the rest starts as `model.init(rng)` and is logged as a warning.

    Args:
        state: arrays by name.
        model: the net; any head.
        layout: how the code base names the layers; by default recognised from the names.
        strict: refuse what does not fit.
        new_head: take the backbone alone. All else of the net starts fresh, and all else of the
            checkpoint is left out.
        channels: input channels, to which the first convolution is adapted.
        inflate: make every 2-D kernel of the backbone the net's 3-D one (`jresnet.weights.adapt`).
        image: `[*spatial, channels]` that the net takes, where its parameters depend on the size.
            The channels are the checkpoint's own, if its backbone is a `ResNet`.
        rng: for what starts fresh.
    """
    layouts = known_for(model) if layout is None else (layout,)
    state = unwrapped(state, layouts)
    layout = layout or recognise(state, layouts)
    image = _image(model, layout, state, channels, inflate, image)
    canonical = unrolled(model)
    shapes = {
        path: leaf.shape for path, leaf in _flat(abstract_variables(canonical, image)).items()
    }
    fitting, mismatch = _match(shapes, state, layout, new_head, channels, inflate)
    if mismatch and strict:
        raise WeightsError(f"the checkpoint ({layout.name} names) does not fit: {mismatch}")
    if mismatch:
        log.warning("the checkpoint (%s names) does not fit: %s", layout.name, shown(mismatch))
    fresh = [path for path in shapes if path not in fitting]
    if fresh:
        log.warning("starting fresh: %s", ", ".join("/".join(path) for path in fresh))
        fitting |= _initial(canonical, image, jax.random.key(0) if rng is None else rng, fresh)
    tree = _nested({path: fitting[path] for path in shapes})
    return jax.tree.map(np.asarray, stack(tree)) if is_scanned(model) else tree


def to_torch(
    variables: Mapping[str, Any], model: Headed, layout: Layout | None = None
) -> dict[str, np.ndarray]:
    """The state dict of `variables`: numpy arrays in torch's layout, under the layout's names.

    `layout` is by default that of the code base which has the net (`layouts.layout_of`).
    `num_batches_tracked`, which nothing here counts, is left out; torch accepts that.
    """
    canonical = unstack(variables)
    layout = layout or layout_of(model, canonical)
    state = {}
    for path, value in _flat(canonical).items():
        name, form = layout.entry(path[1:])
        state[name] = form.theirs(np.asarray(value))
    return state


def _image(
    model: Headed,
    layout: Layout,
    state: State,
    channels: int | None,
    inflate: bool,
    image: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """The shape of an image of the rank and channels that the checkpoint is for."""
    backbone = backbone_of(model)
    if not isinstance(backbone, ResNet):
        if image is None:
            raise WeightsError(
                f"image=None: expected [*spatial, channels] for a {type(backbone).__name__}"
            )
        return image
    deep = len(backbone.stem(parent=None).convs) > 1
    stem = layout.torch_name(("backbone", "stem", "conv1" if deep else "conv", "kernel"))
    if stem not in state:
        raise WeightsError(f"the checkpoint ({layout.name} names) has no {stem}")
    kernel = state[stem]
    if not 3 <= kernel.ndim <= 5 or not kernel.size:
        raise WeightsError(f"the checkpoint's {stem} {kernel.shape} is no convolution of images")
    rank = 3 if inflate else kernel.ndim - 2
    folded = folded_axes(model)
    fits = image is not None and len(image) == folded + rank + 1
    size = image[:-1] if image is not None and fits else (1,) * folded + (64,) * rank
    return (*size, channels or kernel.shape[1])


def _match(
    shapes: dict[Path, tuple[int, ...]],
    state: State,
    layout: Layout,
    new_head: bool,
    channels: int | None,
    inflate: bool,
) -> tuple[Leaves, Mismatch]:
    """The entries that fit, in our layout, and what is wrong with the others."""
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
        and not any(re.fullmatch(pattern, name) for pattern in layout.ignored)
    )
    return fitting, Mismatch(tuple(missing), unexpected, tuple(misshapen))


def _ours(value: np.ndarray, form: Form, shape: tuple[int, ...]) -> np.ndarray:
    """An entry as it lies here; as it is if it cannot be brought there."""
    value = value.astype(np.promote_types(value.dtype, np.float32), copy=False)
    try:
        return form.ours(value, shape)
    except ValueError:  # an array of another rank or size, which the caller reports
        return value


def _initial(model: Headed, image: tuple[int, ...], rng: jax.Array, fresh: list[Path]) -> Leaves:
    """Freshly drawn values of some leaves."""
    images = jnp.zeros((1, *image))

    @jax.jit  # draws what is asked for and no more
    def draw(key: jax.Array) -> list[jax.Array]:
        drawn = _flat(model.init(key, images, train=False))
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
