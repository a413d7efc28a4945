"""A world: a game as a pure function of its state."""

from typing import Any, NamedTuple, Protocol

import jax

Array = jax.Array


class Turn(NamedTuple):
    """The outcome of an action.

    - seen: float32 `[H, W, channels]`, or uint8 from 0 to 255, of this episode even if it has ended.
    - reward: float32.
    - terminated: whether the game is over, bool.
    - truncated: whether a time limit cut the game off, bool.
    - lost: whether a life was lost, bool: learning takes it for an end, though the game goes on.
    """

    seen: Array
    reward: Array
    terminated: Array
    truncated: Array
    lost: Array | None = None


class World(Protocol):
    """One game; agents `vmap` it. Implementations are frozen dataclasses, equal if the same.

    It never begins a new episode by itself: whoever plays it decides, by `terminated` and
    `truncated`. A state is a tree of arrays, which a checkpoint can hold: no typed random keys.
    """

    @property
    def actions(self) -> int:
        """The number of actions, of which each is allowed at any time."""
        ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of what is seen."""
        ...

    # A world may also have `action_names`, a text for each; `milliseconds`, how long people see a
    # turn in a film; and `screen(state)`, uint8 `[H, W, 3]`, which they see in place of what the
    # agent sees.
    def begin(self, key: Array) -> tuple[Any, Array]:
        """The state at the start of an episode, and what is seen then."""
        ...

    def act(self, key: Array, state: Any, action: Array) -> tuple[Any, Turn]:
        """The next state, and the outcome."""
        ...


def action_names(world: World) -> tuple[str, ...]:
    """The names of a world's actions; their numbers where it has none."""
    names = getattr(world, "action_names", None)
    return tuple(names) if names else tuple(map(str, range(world.actions)))
