"""Four rooms seen from within: an agent that turns and walks looks for a green block.

The plan is that of Sutton, Precup & Singh (1999, doi:10.1016/S0004-3702(99)00052-1, figure 2), with
doors, goal and start drawn anew in every episode. What is seen is drawn by casting rays, so walls
hide what is behind them and most of the plan is out of sight at any time.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.data.worlds.world import Turn

Array = jax.Array
LEFT, RIGHT, FORWARD = range(3)
AHEAD = ((-1, 0), (0, 1), (1, 0), (0, -1))  # a step up, right, down and left on the plan
# Walls by the side that is seen, in the order of AHEAD, then the goal; floor and ceiling.
COLOURS = (
    (0.85, 0.45, 0.35),
    (0.45, 0.55, 0.85),
    (0.85, 0.7, 0.35),
    (0.65, 0.45, 0.75),
    (0.2, 0.9, 0.3),
)
FLOOR, CEILING = 0.25, 0.05


@dataclasses.dataclass(frozen=True)
class Rooms:
    """Reward 1 for the step onto the goal, which ends the episode: a mean return is a success rate.

    The agent stands in the middle of a square, faces one of four directions and sees 90 degrees of
    what is before it, `[side, side, 3]` in [0, 1]. Actions: turn left, turn right, walk ahead; a
    wall stops it. At `limit` turns the episode is cut off.

    - rooms: squares along an inner room; the plan has `2 * rooms + 3`, walls included.
    - side: pixels along the picture.
    """

    rooms: int = 3
    side: int = 16
    limit: int = 100

    @property
    def actions(self) -> int:
        return 3

    @property
    def action_names(self) -> tuple[str, ...]:
        return "left", "right", "ahead"

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.side, self.side, 3

    @property
    def squares(self) -> int:
        """Along the plan, walls included."""
        return 2 * self.rooms + 3

    def begin(self, key: Array) -> tuple[dict[str, Array], Array]:
        plan_key, start_key, heading_key = jax.random.split(key, 3)
        walls = self.plan(plan_key)
        # Two squares that are free, the second drawn from all but the first.
        free = jnp.where(walls, -jnp.inf, 0.0).reshape(-1)
        one, other = jax.random.split(start_key)
        goal = jax.random.categorical(one, free)
        start = jax.random.categorical(other, free.at[goal].set(-jnp.inf))
        state = {
            "walls": walls,
            "goal": self._square(goal),
            "place": self._square(start),
            "heading": jax.random.randint(heading_key, (), 0, 4),
            "time": jnp.zeros((), jnp.int32),
        }
        return state, self.view(state)

    def plan(self, key: Array) -> Array:
        """Where walls are, bool `[squares, squares]`: each wall between two rooms has one door."""
        size, middle = self.squares, self.rooms + 1
        inner = jnp.zeros((size, size), bool).at[middle].set(True).at[:, middle].set(True)
        walls = inner.at[0].set(True).at[-1].set(True).at[:, 0].set(True).at[:, -1].set(True)
        doors = 1 + jax.random.randint(key, (4,), 0, self.rooms)
        beyond = middle + doors
        walls = walls.at[middle, doors[0]].set(False).at[middle, beyond[1]].set(False)
        return walls.at[doors[2], middle].set(False).at[beyond[3], middle].set(False)

    def act(self, key: Array, state: Any, action: Array) -> tuple[dict[str, Array], Turn]:
        del key  # nothing is left to chance once an episode has begun
        turned = (state["heading"] + (action == RIGHT) - (action == LEFT)) % 4
        ahead = state["place"] + jnp.array(AHEAD)[turned]
        walks = (action == FORWARD) & ~state["walls"][ahead[0], ahead[1]]
        place = jnp.where(walks, ahead, state["place"])
        time = state["time"] + 1
        after = {**state, "place": place, "heading": turned, "time": time}
        there = (place == state["goal"]).all()
        cut = (time >= self.limit) & ~there
        return after, Turn(self.view(after), there.astype(jnp.float32), there, cut)

    def view(self, state: Any) -> Array:
        """The picture before the agent, float32 `[side, side, 3]`."""
        distance, colour = self._rays(state)
        light = 1 / (1 + 0.25 * distance)
        wall = jnp.array(COLOURS)[colour] * light[:, None]
        # Pixels by how far they lie above or below the horizon, of which a wall covers 0.5 / distance.
        height = (2 * jnp.arange(self.side) + 1) / self.side - 1
        covered = jnp.abs(height)[:, None] < 0.5 / distance[None]
        beyond = jnp.where(height < 0, CEILING, FLOOR)[:, None, None]
        return jnp.where(covered[..., None], wall[None], beyond)

    def _rays(self, state: Any) -> tuple[Array, Array]:
        """Each column's distance of the first block along the view's axis, and its colour.

        A ray meets the lines between squares across the heading and along it. Of all that it meets
        within the plan the nearest that is a wall or the goal counts.
        """
        forward = jnp.array(AHEAD)[state["heading"]]
        sideways = jnp.array(AHEAD)[(state["heading"] + 1) % 4]
        lines = self.squares - 1
        slope = ((2 * jnp.arange(self.side) + 1) / self.side - 1)[:, None]  # never 0
        number = jnp.broadcast_to(0.5 + jnp.arange(lines), (self.side, lines))
        distance = jnp.concatenate([number, number / jnp.abs(slope)], 1)  # [columns, 2 * lines]
        lateral = slope * distance
        # The square behind a line is half a square further on than the line.
        across = jnp.arange(2 * lines)[None] < lines
        depth = jnp.round(jnp.where(across, distance + 0.5, distance)).astype(jnp.int32)
        aside = jnp.where(across, lateral, lateral + 0.5 * jnp.sign(slope))
        shift = jnp.round(aside).astype(jnp.int32)
        row, column = (
            state["place"][axis] + depth * forward[axis] + shift * sideways[axis] for axis in (0, 1)
        )
        size = self.squares
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        goal = (row == state["goal"][0]) & (column == state["goal"][1])
        walls = state["walls"][jnp.clip(row, 0, size - 1), jnp.clip(column, 0, size - 1)]
        met = jnp.where(inside & (walls | goal), distance, jnp.inf).argmin(1)[:, None]
        side = jnp.where(met < lines, 0, jnp.where(slope > 0, 1, 3))
        faced = (state["heading"] + side) % 4
        colour = jnp.where(jnp.take_along_axis(goal, met, 1), len(AHEAD), faced)
        return jnp.take_along_axis(distance, met, 1)[:, 0], colour[:, 0]

    def _square(self, number: Array) -> Array:
        """Row and column of a square by its number, int32 `[2]`."""
        return jnp.stack(jnp.divmod(number, self.squares)).astype(jnp.int32)
