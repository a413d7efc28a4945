"""Rounds of playing and learning: the memory of agents that learn from what they just played.

Before the first of every `period` steps a round is played. Each step then learns from one
minibatch of it. Arrays of what was played are `[turns, worlds, ...]`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.tasks.base import Array

Memory = dict[str, Any]
Play = Callable[[Any], tuple[Any, Any, tuple[Array, Array]]]


def blank(playing: Any, played: Any) -> Memory:
    """The memory before the first step, with room for what `played`, of shapes, says."""
    return {
        "playing": playing,
        "played": jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), played),
        "step": jnp.zeros((), jnp.int32),
        "frames": jnp.zeros((), jnp.int32),
        "order": jnp.zeros((), jnp.uint32),
    }


def advance(
    memory: Memory, play: Play, key: Array, epochs: int, minibatches: int
) -> tuple[Memory, Any, tuple[Array, Array], Array]:
    """Play, if it is the time, and take this step's minibatch.

    Args:
        memory: as `blank` or the last call gave it.
        play: from `playing` to `playing`, what was played, and the sum and number of the returns
            of the episodes that ended.
        key: of this step; decides the order of the round that it opens.
        epochs: passes over what was played.
        minibatches: parts of a pass.

    Returns:
        The memory, the minibatch, sum and number of returns, and the number of new frames.
    """
    phase = memory["step"] % (epochs * minibatches)

    def new(memory: Memory) -> tuple[Memory, tuple[Array, Array]]:
        playing, played, finished = play(memory["playing"])
        order = jax.random.bits(key)
        return {**memory, "playing": playing, "played": played, "order": order}, finished

    def old(memory: Memory) -> tuple[Memory, tuple[Array, Array]]:
        return memory, (jnp.zeros(()), jnp.zeros(()))

    memory, finished = jax.lax.cond(phase == 0, new, old, memory)
    part, frames = minibatch(memory, phase, minibatches)
    frames = jnp.where(phase == 0, frames, 0)
    counters = {"step": memory["step"] + 1, "frames": memory["frames"] + frames}
    return {**memory, **counters}, part, finished, frames.astype(jnp.float32)


def minibatch(memory: Memory, phase: Array | int, minibatches: int) -> tuple[Any, int]:
    """The rows of what was played that a step learns from, and how many frames there are.

    Each epoch deals all of them once, in an order that the key of the round decides.
    """
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), memory["played"])
    frames = len(jax.tree.leaves(flat)[0])
    epoch, number = phase // minibatches, phase % minibatches
    key = jax.random.fold_in(jax.random.key(memory["order"]), epoch)
    order = jax.random.permutation(key, frames)
    size = frames // minibatches
    rows = jax.lax.dynamic_slice_in_dim(order, number * size, size)
    return jax.tree.map(lambda x: x[rows], flat), frames
