"""Environments of gymnax, MinAtar's among them, as worlds.

gymnax 1.0 tells a game's end from a time limit. Its MinAtar games are under Apache-2.0; those of
Young & Tian (arXiv:1903.03176), after which they are written, are under GPL-3. pgx has MinAtar
too, but its Seaquest lacks a correction of MinAtar 1.0.11 (pgx issue 835).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.data.worlds import names
from jresnet.data.worlds.world import Turn
from jresnet.errors import UsageError
from jresnet.extras import library

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class GymnaxWorld:
    """An environment of gymnax by its registered name, such as "Breakout-MinAtar".

    MODULE:NAME is one of the user's: a class without arguments, or an object, with gymnax's parts
    and `default_params`.

    Raises UsageError for a name that gymnax does not have, actions that are not a fixed number, and
    environments that are seen as anything but `[H, W, channels]`.
    """

    game: str

    def __post_init__(self) -> None:
        environment, parameters = _environment(self.game)
        actions = environment.action_space(parameters)
        if not hasattr(actions, "n"):
            raise UsageError(
                f"game={self.game!r}: expected a fixed number of actions, "
                f"has {type(actions).__name__}"
            )
        shape = _shape_seen(environment, parameters)
        if len(shape) != 3:
            raise UsageError(
                f"game={self.game!r}: expected one that is seen as [H, W, channels], is {shape}"
            )

    @property
    def actions(self) -> int:
        environment, parameters = _environment(self.game)
        return int(environment.action_space(parameters).n)

    @property
    def action_names(self) -> tuple[str, ...] | None:
        """Those of MinAtar's games, by its letters: none, left, up, right, down, fire."""
        environment, _ = _environment(self.game)
        chosen = getattr(environment, "action_set", None)
        words = ("none", "left", "up", "right", "down", "fire")
        return None if chosen is None else tuple(words[int(number)] for number in chosen)

    @property
    def shape(self) -> tuple[int, int, int]:
        return _shape_seen(*_environment(self.game))

    def begin(self, key: Array) -> tuple[Any, Array]:
        environment, parameters = _environment(self.game)
        seen, state = environment.reset_env(key, parameters)
        # Numbers of Python become arrays with a type of their own, as a checkpoint gives them back.
        state = jax.tree.map(lambda x: jnp.asarray(x, jnp.result_type(x)), state)
        return state, seen.astype(jnp.float32)

    def act(self, key: Array, state: Any, action: Array) -> tuple[Any, Turn]:
        environment, parameters = _environment(self.game)
        seen, after, reward, terminated, _ = environment.step_env(key, state, action, parameters)
        # Some fields change their type in a step, which no loop takes.
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)
        terminated = jnp.asarray(terminated, bool)
        truncated = jnp.asarray(environment.is_truncated(after, parameters), bool) & ~terminated
        return after, Turn(
            seen.astype(jnp.float32), jnp.asarray(reward, jnp.float32), terminated, truncated
        )


@functools.cache
def _environment(name: str) -> tuple[Any, Any]:
    """The environment and its parameters. Raises UsageError."""
    if ":" in name:
        environment = names.gymnax_environment(name)
        return environment, environment.default_params
    gymnax = library("gymnax", "games")
    known = sorted(gymnax.registered_envs)
    if name not in known:
        examples = ", ".join(names.near(name, known) or names.minatar().values())
        raise UsageError(f"game={name!r}: expected one that gymnax has, such as {examples}")
    return gymnax.make(name)


def _shape_seen(environment: Any, parameters: Any) -> Any:
    key = jax.eval_shape(lambda: jax.random.key(0))
    seen, _ = jax.eval_shape(lambda key: environment.reset_env(key, parameters), key)
    return tuple(seen.shape)
