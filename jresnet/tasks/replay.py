"""A replay memory: a ring of turns, in arrays that a checkpoint holds and devices share.

Arrays are `[size, worlds, ...]`, so that each device keeps the turns of its own worlds. What a turn
led to is the next row and is not stored twice. A time limit leaves no such row: a sum of rewards
stops before that turn, with the value of what was seen then, and none starts there.

Chances are found by sums over the whole ring and not by a tree of sums: a pass over a
million numbers costs less than one of the net.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jresnet.tasks.base import Array

Replay = dict[str, Any]
PARTS = ("seen", "action", "reward", "terminated", "truncated")


class Places(NamedTuple):
    """Drawn turns `[n]`: row and world of each, and the probability with which it was drawn."""

    row: Array
    world: Array
    chance: Array


class Windows(NamedTuple):
    """Turns `[n]` and what came of them.

    - seen, action: of the turn.
    - reward: the sum of discounted rewards.
    - discount: of the value of what was seen at the end of the sum; 0 where the game was over.
    - later: what was seen at its end.
    """

    seen: Array
    action: Array
    reward: Array
    discount: Array
    later: Array


def blank(played: Mapping[str, Any], size: int) -> Replay:
    """An empty memory of `size` turns in each world; `played` has shapes `[turns, worlds, ...]`."""
    arrays = {
        name: jnp.zeros((size, *played[name].shape[1:]), played[name].dtype) for name in PARTS
    }
    priority = jnp.zeros((size, played["reward"].shape[1]))
    counters = {"count": jnp.zeros((), jnp.int32), "highest": jnp.ones(())}
    return {**arrays, "priority": priority, **counters}


def write(replay: Replay, played: Mapping[str, Array]) -> Replay:
    """With the turns `[turns, worlds, ...]` that were just played; `turns` divides the size.

    They get the highest priority so far, so that each is likely to be learnt from once.
    """
    size, turns = len(replay["reward"]), len(played["reward"])
    first = replay["count"] % size

    def put(ring: Array, rows: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(ring, rows, first, 0)

    arrays = {name: put(replay[name], played[name]) for name in PARTS}
    new = jnp.full(played["reward"].shape, replay["highest"])
    priority = put(replay["priority"], new)
    return {**replay, **arrays, "priority": priority, "count": replay["count"] + turns}


def ages(replay: Replay) -> Array:
    """Turns that came after each row, int32 `[size]`; -1 and below: not yet written."""
    size = len(replay["reward"])
    written = jnp.minimum(replay["count"], size)
    age = (replay["count"] - 1 - jnp.arange(size)) % size
    return jnp.where(age < written, age, -1)


def sample(replay: Replay, key: Array, count: int, power: float = 0.0) -> Places:
    """Draw turns in proportion to their priority to the `power`; 0 draws each alike.

    The chances are cut in `count` equal parts and one is drawn from each (arXiv:1511.05952,
    section 3.3). The newest turn and those that a time limit cut off are never drawn.
    """
    usable = (ages(replay) > 0)[:, None] & ~replay["truncated"]
    weights = jnp.where(usable, replay["priority"] ** power, 0.0)
    within = jnp.cumsum(weights, 0)  # [size, worlds]
    sums = within[-1]
    ends = jnp.cumsum(sums)
    aims = (jnp.arange(count) + jax.random.uniform(key, (count,))) / count * ends[-1]
    world = jnp.searchsorted(ends, _below(aims, ends[-1]), side="right")
    rest = _below(aims - (ends - sums)[world], sums[world])
    # Each device looks in its own worlds, for all aims.
    rows = jax.vmap(lambda column: jnp.searchsorted(column, rest, side="right"), 1)(within)
    row = rows[world, jnp.arange(count)]
    return Places(row, world, weights[row, world] / ends[-1])


def _below(numbers: Array, end: Array) -> Array:
    """At least 0 and less than `end`: a float just past a sum would find no row."""
    return jnp.clip(numbers, 0.0, end * (1 - 1e-6))


def windows(replay: Replay, places: Places, steps: int, gamma: float) -> Windows:
    """Sums of at most `steps` rewards from each place on (arXiv:1710.02298, section 3).

    The end of an episode cuts a sum short, and so does the newest turn.
    """
    size = len(replay["reward"])
    row, world = places.row, places.world
    reward, discount = jnp.zeros(row.shape), jnp.ones(row.shape)
    open_, length = jnp.ones(row.shape, bool), jnp.zeros(row.shape, row.dtype)
    age = ages(replay)
    for step in range(steps):
        now = (row + step) % size
        # The newest turn has led nowhere yet, and one that was cut off leads to another episode.
        open_ &= (age[row] > step) & ~replay["truncated"][now, world]
        reward = reward + jnp.where(open_, discount * replay["reward"][now, world], 0.0)
        over = replay["terminated"][now, world]
        discount = jnp.where(open_, jnp.where(over, 0.0, gamma * discount), discount)
        length = length + open_
        open_ &= ~over
    later = replay["seen"][(row + length) % size, world]
    seen, action = (replay[name][row, world] for name in ("seen", "action"))
    return Windows(seen, action, reward, discount, later)


def correction(chance: Array, replay: Replay, power: Array | float) -> Array:
    """Weights that make up for chances that differ, at most 1 (arXiv:1511.05952, section 3.4)."""
    usable = ((ages(replay) > 0)[:, None] & ~replay["truncated"]).sum()
    weights = (usable * jnp.maximum(chance, 1e-30)) ** -power
    weights = jnp.where(chance > 0, weights, 0.0)
    return weights / jnp.maximum(weights.max(), 1e-30)


def prioritise(replay: Replay, places: Places, errors: Array) -> Replay:
    """With new priorities of the drawn turns: the size of their errors, and a little more."""
    errors = jnp.abs(errors) + 1e-6
    priority = replay["priority"].at[places.row, places.world].set(errors)
    return {**replay, "priority": priority, "highest": jnp.maximum(replay["highest"], errors.max())}
