"""Worlds small enough for tests."""

import dataclasses

import jax
import jax.numpy as jnp

from jresnet.data.worlds.world import Turn

SIDE = 4


@dataclasses.dataclass(frozen=True)
class CatchWorld:
    """A ball falls, a paddle moves by -1, 0, 1: return 1 or -1 after three turns."""

    actions: int = 3
    shape: tuple[int, int, int] = (SIDE, SIDE, 2)

    def begin(self, key):
        column = jax.random.randint(key, (), 0, SIDE)
        state = jnp.stack([jnp.zeros((), jnp.int32), column, jnp.full((), SIDE // 2)])
        return state, self.seen(state)

    def seen(self, state):
        row, column, paddle = state
        board = jnp.zeros(self.shape).at[row, column, 0].set(1.0)
        return board.at[SIDE - 1, paddle, 1].set(1.0)

    def act(self, key, state, action):
        row, column, paddle = state
        state = jnp.stack([row + 1, column, jnp.clip(paddle + action - 1, 0, SIDE - 1)])
        down = row + 1 == SIDE - 1
        reward = jnp.where(down, jnp.where(column == state[2], 1.0, -1.0), 0.0)
        return state, Turn(self.seen(state), reward, down, jnp.zeros((), bool))


@dataclasses.dataclass(frozen=True)
class Clock:
    """Nothing but time is seen; the game ends at `end`, or is cut off at `limit` turns; reward 1."""

    end: int = 100
    limit: int = 3
    actions: int = 2
    shape: tuple[int, int, int] = (1, 1, 1)

    def begin(self, key):
        return jnp.zeros((), jnp.int32), jnp.zeros(self.shape)

    def act(self, key, state, action):
        after = state + 1
        seen = jnp.full(self.shape, after, jnp.float32)
        return after, Turn(seen, jnp.ones(()), after >= self.end, after >= self.limit)
