"""A train state in canonical form, as checkpoints hold it: scanned blocks unrolled."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jresnet.models.scan import stack, unstack
from jresnet.tasks.base import MEMORY
from jresnet.train.sharding import shardings_of, unstack_shapes
from jresnet.train.state import TrainState


def unrolled(state: TrainState) -> TrainState:
    """The state in canonical form, each block laid out as in the array that the scan stacks."""
    tree = _map_variables(unstack, state)
    if jax.tree.structure(tree) == jax.tree.structure(state):
        return state
    return jax.device_put(tree, shardings_of(unrolled_shapes(state)))


def unrolled_shapes(state: TrainState) -> TrainState:
    """Shapes and shardings of the canonical form of a state (arrays or shapes)."""
    return _map_variables(unstack_shapes, state)


def stacked(state: TrainState, abstract: TrainState) -> TrainState:
    """A canonical state in the form, scanned or not, and on the devices of `abstract`."""
    if jax.tree.structure(abstract) == jax.tree.structure(state):
        return state
    return jax.device_put(_map_variables(stack, state), shardings_of(abstract))


def _map_variables(convert: Callable[[Any], Any], state: TrainState) -> TrainState:
    """`convert` applied to every variable tree within the state, the optimizer's included.

    The task's memory, which is no net's, stays as it is.
    """
    memory = {name: tree for name, tree in state.model_state.items() if name == MEMORY}
    rest = {name: tree for name, tree in state.model_state.items() if name != MEMORY}
    net = dataclasses.replace(state, model_state=rest)
    converted = jax.tree.map(convert, net, is_leaf=lambda node: isinstance(node, Mapping))
    return dataclasses.replace(converted, model_state={**converted.model_state, **memory})
