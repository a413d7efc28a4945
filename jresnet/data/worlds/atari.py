"""Atari 2600 games as worlds, with the preprocessing of the DQN paper.

The emulator is a pure function of a snapshot and an action, through a callback: the snapshot is
the world's state, lies in the task's memory, and is in every checkpoint.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.worlds import atari_emulator as host
from jresnet.data.worlds.world import Turn
from jresnet.errors import UsageError

Array = jax.Array
SIDE = 84


@dataclasses.dataclass(frozen=True)
class AtariWorld:
    """A game of the Arcade Learning Environment (arXiv:1207.4708), one decision a turn.

    As in arXiv:1709.06009, section 5 and table 5: seen are the last four pictures, uint8
    `[84, 84, 4]`, each the brighter of two frames in grey.

    - rom: "pong", "space_invaders", ... (`atari_emulator.rom_of`).
    - sticky: chance that a frame repeats the action before instead of taking the new one; 0.25 is
      that paper's advice, 0 the DQN paper's game.
    - lives: whether learning takes a lost life for the end of the game, which goes on.
    - skip: frames of a decision.
    - stack: pictures that are seen.
    - waits: a game begins with 1 to so many frames without action.
    - limit: frames after which a game is cut off.
    """

    rom: str
    sticky: float = 0.0
    lives: bool = True
    skip: int = 4
    stack: int = 4
    waits: int = 30
    limit: int = 108_000
    emulated = True  # too slow for what is played beside the training

    def __post_init__(self) -> None:
        """Raises UsageError for a game that there is not, and shares and counts out of range."""
        if host.rom_of(self.rom) != self.rom:
            raise UsageError(f"rom={self.rom!r}: expected {host.rom_of(self.rom)!r}")
        if not 0 <= self.sticky <= 1:
            raise UsageError(f"sticky={self.sticky}: expected 0 to 1")
        for name in ("skip", "stack", "waits"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)}: expected 1 or more")

    @property
    def actions(self) -> int:
        return len(host.emulator(self.rom).actions)

    @property
    def action_names(self) -> tuple[str, ...]:
        """ALE's names of the actions that the game knows."""
        return host.emulator(self.rom).names

    @property
    def milliseconds(self) -> float:
        """The length of a turn on the console, which draws 60 frames a second."""
        return 1000 * self.skip / 60

    def screen(self, state: dict[str, Array]) -> Array:
        """The console's picture in colours, uint8 `[210, 160, 3]` in most games.

        A snapshot has no picture: the one shown is a frame later, without action.
        """
        shape = jax.ShapeDtypeStruct(host.emulator(self.rom).screen_shape, np.uint8)
        return jax.pure_callback(
            _Host("screens", self.rom), shape, state["snapshot"], vmap_method="broadcast_all"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        return SIDE, SIDE, self.stack

    def begin(self, key: Array) -> tuple[dict[str, Array], Array]:
        """After 1 to `waits` frames without action, as gymnasium's AtariPreprocessing."""
        waits = jax.random.randint(key, (), 1, self.waits + 1)
        shapes = self._shapes
        snapshot, picture = jax.pure_callback(
            _Host("starts", self.rom), shapes[:2], waits, vmap_method="broadcast_all"
        )
        zero = jnp.zeros((), jnp.int32)
        seen = jnp.repeat(picture[..., None], self.stack, -1)
        state = {"snapshot": snapshot, "seen": seen, "before": zero, "frames": zero}
        return state, seen

    def act(self, key: Array, state: dict[str, Array], action: Array) -> tuple[Any, Turn]:
        sticks = jax.random.bernoulli(key, self.sticky, (self.skip,))
        numbers, before = [], state["before"]
        for frame in range(self.skip):
            before = jnp.where(sticks[frame], before, action.astype(jnp.int32))
            numbers.append(before)
        played = jax.pure_callback(
            _Host("acts", self.rom),
            self._shapes,
            state["snapshot"],
            jnp.stack(numbers, -1),
            vmap_method="broadcast_all",
        )
        frames = state["frames"] + self.skip
        seen = jnp.concatenate([state["seen"][..., 1:], played.picture[..., None]], -1)
        after = {"snapshot": played.snapshot, "seen": seen, "before": before, "frames": frames}
        truncated = (frames >= self.limit) & ~played.over
        lost = played.lost if self.lives else jnp.zeros((), bool)
        return after, Turn(seen, played.reward, played.over, truncated, lost)

    @property
    def _shapes(self) -> host.Played:
        size, shape = host.emulator(self.rom).size, jax.ShapeDtypeStruct
        parts: Any = (
            shape((size,), np.uint8),
            shape((SIDE, SIDE), np.uint8),
            shape((), np.float32),
            shape((), bool),
            shape((), bool),
        )
        return host.Played(*parts)


@dataclasses.dataclass(frozen=True)
class _Host:
    """A function of `atari_emulator` for one game; equal ones are one to the compiler."""

    name: str
    rom: str

    def __call__(self, *arrays: Any) -> Any:
        return getattr(host, self.name)(self.rom, *(np.asarray(array) for array in arrays))
