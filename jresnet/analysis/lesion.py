"""Blocks deleted from a trained net, and blocks put in another order.

Veit et al. 2016 (arXiv:1605.06431, section 4). A lesioned net is a sequence of steps: blocks in
some order, each with its branch or without. Orders that begin with the same steps share their
results.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jresnet.analysis.chain import Chain, Variables
from jresnet.models.block import Block, ModuleDef
from jresnet.models.part import part
from jresnet.models.shortcuts import ZeroPad
from jresnet.tasks.base import Array, Batch
from jresnet.tasks.classify import classification_metrics


class Step(NamedTuple):
    """Block number `block`, counted from 0, with its branch or without."""

    block: int
    kept: bool = True


Order = tuple[Step, ...]


class Parts(NamedTuple):
    """A net as functions of arrays: layers before the blocks, one step, layers after them."""

    first: Callable[[Array], Array]
    step: Callable[[Step, Array], Array]
    last: Callable[[Array], Array]


def intact(blocks: int) -> Order:
    """Every block in its place."""
    return tuple(Step(block) for block in range(blocks))


def without(blocks: int, deleted: Sequence[int]) -> Order:
    """The net with those blocks deleted."""
    return tuple(Step(block, block not in deleted) for block in range(blocks))


def swapped(groups: Sequence[Sequence[int]], swaps: int, rng: np.random.Generator) -> Order:
    """The net after `swaps` random pairs of blocks changed places, one pair after the other.

    Each pair is drawn from all pairs within one of `groups`, which hold every block once (see
    `interchangeable`). Raises ValueError if there is no pair.
    """
    pairs = [(a, b) for group in groups for i, a in enumerate(group) for b in group[i + 1 :]]
    if not pairs:
        raise ValueError("no two blocks have one shape: there is nothing to swap")
    places = list(range(sum(map(len, groups))))
    for pair in rng.integers(len(pairs), size=swaps):
        a, b = pairs[pair]
        places[a], places[b] = places[b], places[a]
    return tuple(Step(block) for block in places)


def kendall_tau(order: Order) -> float:
    """Rank correlation of an order of blocks with the intact net's: 1 intact, -1 reversed."""
    ranks = np.array([step.block for step in order])
    pairs = len(ranks) * (len(ranks) - 1) / 2
    discordant = np.sum(np.triu(ranks[:, None] > ranks[None, :], 1))
    return float(1 - 2 * discordant / pairs) if pairs else 1.0


def interchangeable(net: Chain, variables: Variables) -> list[list[int]]:
    """Groups of blocks of one stage with the same layers and the same shapes of parameters."""
    groups: dict[Any, list[int]] = {}
    for number, block in enumerate(net.blocks):
        selected = block.select(variables)
        shapes = tuple(leaf.shape for leaf in jax.tree.leaves(selected))
        stage = block.path[:-1]
        groups.setdefault((stage, block.module, shapes), []).append(number)
    return list(groups.values())


def reshaping(net: Chain, variables: Variables, image: tuple[int, ...]) -> list[int]:
    """Blocks that change the shape, from 0, for images `[*spatial, channels]`."""
    numbers = []
    x = jax.eval_shape(net.stem, variables, jax.ShapeDtypeStruct((1, *image), jnp.float32))
    for number, block in enumerate(net.blocks):
        y = jax.eval_shape(block, variables, x)
        if y.shape != x.shape:
            numbers.append(number)
        x = y
    return numbers


def parts(net: Chain, variables: Variables) -> Parts:
    """A net's functions for `walk`, in evaluation mode, each compiled once for each shape.

    The output of a deleted block is that of its shortcut, as with a gate of 0. In a plain net,
    which has no shortcuts (the paper deletes layers of VGG), it is the block's input; where the
    shape changes, subsampled and padded with zero channels.
    """
    variables = jax.device_put(dict(variables))
    pieces = [(block.module, _deleted(block.module)) for block in net.blocks]
    selected = [block.select(variables) for block in net.blocks]

    def step(step: Step, x: Array) -> Array:
        kept, deleted = pieces[step.block]
        return _apply(kept if step.kept else deleted, selected[step.block], x, float(step.kept))

    first, last = jax.jit(net.stem), jax.jit(net.head)
    return Parts(lambda x: first(variables, x), step, lambda x: last(variables, x))


def walk(net: Parts, images: Array, orders: Sequence[Order]) -> Iterator[tuple[int, Array]]:
    """The output for `images` of every order, with its index in `orders`.

    Orders are visited sorted, so that steps that two of them have in common from the start are
    computed once.
    """
    states, before = [net.first(images)], ()
    for index in sorted(range(len(orders)), key=orders.__getitem__):
        order = orders[index]
        shared = 0
        while shared < min(len(before), len(order)) and before[shared] == order[shared]:
            shared += 1
        del states[shared + 1 :]
        for step in order[shared:]:
            states.append(net.step(step, states[-1]))
        before = order
        yield index, net.last(states[-1])


def evaluate(
    net: Parts,
    batches: Sequence[Batch],
    orders: Sequence[Order],
    progress: Callable[[int], object] = lambda count: None,
) -> dict[str, np.ndarray]:
    """`error` (fraction) and `loss` (nats) `[orders]`, over all of `batches`.

    A batch has a normalised `image`, `label`, and if it is padded `valid`. `progress` is called
    with 1 after every order of every batch.
    """
    sums = np.zeros((len(orders), 3))
    for batch in batches:
        for index, logits in walk(net, batch["image"], orders):
            sums[index] += np.asarray(_count(logits, dict(batch)))
            progress(1)
    return {"error": sums[:, 0] / sums[:, 2], "loss": sums[:, 1] / sums[:, 2]}


@jax.jit
def _count(logits: Array, batch: Mapping[str, Array]) -> Array:
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    sums = classification_metrics(losses, logits, batch)
    return jnp.stack([sums["error"][0], sums["loss"][0], sums["loss"][1]])


@functools.partial(jax.jit, static_argnums=0)
def _apply(module: nn.Module, selected: Any, x: Array, gate: Any) -> Array:
    y: Any = module.apply(selected, x, jnp.asarray(gate, jnp.float32), train=False)
    return y


def _deleted(module: nn.Module) -> nn.Module:
    assert isinstance(module, Block)
    return module.clone(shortcut=part(_Passing, inner=module.shortcut))


class _Passing:
    """A shortcut; if the block has none, the input in the output's shape."""

    def __init__(self, inner: ModuleDef, **fields: Any) -> None:
        self.shortcut = inner(**fields)
        self.projects = self.shortcut.projects

    def __call__(self, x: Array, *change: Any, train: bool) -> Array:
        skip = self.shortcut(x, *change, train=train)
        return ZeroPad()(x, *change, train=train) if skip is None else skip
