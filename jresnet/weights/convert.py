"""State dicts in torch layout to variables and back."""

import logging
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.models.headed import Headed, backbone_of, folded_axes, is_scanned, unrolled
from jresnet.models.heads import Classifier
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.rcnn import RCNN
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import ResNet
from jresnet.models.scan import stack, unstack
from jresnet.text import shown
from jresnet.weights.conventions import tell_conventions
from jresnet.weights.layout import Layout
from jresnet.weights.layouts import known_for, layout_of, of_net, recognise
from jresnet.weights.matching import Leaves, Mismatch, State, flat, match, nested
from jresnet.weights.names import Path
from jresnet.weights.wrappers import unwrapped

log = logging.getLogger(__name__)


class WeightsError(ValueError):
    """A checkpoint that does not fit the net. The message lists everything that is wrong."""


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
    code_base = layout or recognise(state, layouts)
    layout = of_net(code_base, model)
    image = _image(model, layout, state, channels, inflate, image)
    canonical = unrolled(model)
    shapes = {path: leaf.shape for path, leaf in flat(abstract_variables(canonical, image)).items()}
    fitting, mismatch = match(shapes, state, layout, new_head, channels, inflate)
    if not new_head:
        tell_conventions(code_base, model)
    if mismatch and strict:
        raise WeightsError(_refusal(model, layout, set(shapes), set(fitting), mismatch, image))
    if left := [n for n in state if any(re.fullmatch(p, n) for p in layout.left_out)]:
        log.warning("the checkpoint's %s left out: no net here has such layers", ", ".join(left))
    if mismatch:
        log.warning("the checkpoint (%s names) does not fit: %s", layout.name, shown(mismatch))
    fresh = [path for path in shapes if path not in fitting]
    if fresh:
        log.warning("starting fresh: %s", ", ".join("/".join(path) for path in fresh))
        fitting |= _initial(canonical, image, jax.random.key(0) if rng is None else rng, fresh)
    tree = nested({path: fitting[path] for path in shapes})
    return jax.tree.map(np.asarray, stack(tree)) if is_scanned(model) else tree


def _refusal(
    model: Headed,
    layout: Layout,
    paths: set[Path],
    fitting: set[Path],
    mismatch: Mismatch,
    image: tuple[int, ...],
) -> str:
    """Why a checkpoint is refused. Of a net's backbone alone, the layers of its head are not listed."""
    backbone = {path for path in paths if path[1] == "backbone"}
    if isinstance(model, Classifier) or fitting != backbone or paths == backbone:
        return f"the checkpoint ({layout.name} names) does not fit: {mismatch}"
    name = None
    if isinstance(model, RCNN):
        name = "detect"
    elif isinstance(model, Segmenter):
        name = "volumes" if len(image) == 4 else "segment"
    trained = f", or --weights of experiments.{name}" if name else ""
    return (
        f"the checkpoint ({layout.name} names) has the backbone alone of this "
        f"{type(model).__name__}: expected new_head=True{trained}"
    )


def parts_from_torch(
    state: State, model: Headed, image: tuple[int, ...] = (64, 64, 3)
) -> tuple[dict[str, Any], Layout]:
    """The backbone of a torch state dict whole, and of all else the arrays that `model` has as well.

    Nothing is drawn: arrays that the checkpoint lacks, or has in other shapes, are not in the tree.
    Raises WeightsError for another backbone.

    Args:
        state: arrays by name.
        model: the net; any head.
        image: `[*spatial, channels]` that it takes.

    Returns:
        Canonical (unrolled) variables, and the layout of the names.
    """
    layouts = known_for(model)
    state = unwrapped(state, layouts)
    layout = recognise(state, layouts)
    expected = flat(abstract_variables(unrolled(model), image))
    shapes = {path: leaf.shape for path, leaf in expected.items()}
    form = of_net(layout, model)
    backbone, mismatch = match(shapes, state, form, True, None, False)
    if mismatch:
        raise WeightsError(f"the checkpoint ({layout.name} names) does not fit: {mismatch}")
    beside = {path: shape for path, shape in shapes.items() if path[1] != "backbone"}
    heads, _ = match(beside, state, form, False, None, False)
    return nested(backbone | heads), layout


def to_torch(
    variables: Mapping[str, Any], model: Headed, layout: Layout | None = None
) -> dict[str, np.ndarray]:
    """The state dict of `variables`: numpy arrays in torch's layout, under the layout's names.

    `layout` is by default that of the code base which has the net (`layouts.layout_of`).
    `num_batches_tracked`, which nothing here counts, is left out; torch accepts that.
    """
    canonical = unstack(variables)
    layout = of_net(layout or layout_of(model, canonical), model)
    state = {}
    for path, value in flat(canonical).items():
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


def _initial(model: Headed, image: tuple[int, ...], rng: jax.Array, fresh: list[Path]) -> Leaves:
    """Freshly drawn values of some leaves."""
    images = jnp.zeros((1, *image))

    @jax.jit  # draws what is asked for and no more
    def draw(key: jax.Array) -> list[jax.Array]:
        drawn = flat(model.init(key, images, train=False))
        return [drawn[path] for path in fresh]

    return {path: np.asarray(leaf) for path, leaf in zip(fresh, draw(rng), strict=True)}
