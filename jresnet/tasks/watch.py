"""One episode to be looked at: what an agent saw, what it thought of its actions, what mattered."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jresnet.data.worlds.world import World
from jresnet.models.heads.policy import ActionValues, Agent
from jresnet.report import episodes
from jresnet.tasks.base import Array

WATCHED = 1000  # turns of an episode at most: each keeps its picture


@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode on the host, turn by turn.

    Attributes:
      seen: what each action was chosen by, float32 `[turns, H, W, channels]`.
      action: the actions, int32 `[turns]`.
      scores: probabilities of the actions, or their values, float32 `[turns, actions]`.
      policy: whether `scores` are probabilities.
      value: of what was seen, float32 `[turns]`; for values of actions the highest.
      reward: float32 `[turns]`.
      saliency: how much the score of the action that was taken moves with each place of the picture,
        float32 `[turns, H, W]`.
      terminated: whether the game was over at the end; otherwise a time limit came.
      screen: the world's `screen` in each turn, uint8 `[turns, H, W, 3]`, if it has one.
    """

    seen: np.ndarray
    action: np.ndarray
    scores: np.ndarray
    policy: bool
    value: np.ndarray
    reward: np.ndarray
    saliency: np.ndarray
    terminated: bool
    screen: np.ndarray | None = None

    def pictures(self) -> np.ndarray:
        """The game as people see it, turn by turn, uint8 `[turns, H, W, 3]`."""
        return episodes.as_pictures(self.seen) if self.screen is None else self.screen

    def strip(self, names: Sequence[str]) -> Figure:
        """Moments of the episode, with the names of the actions."""
        return episodes.strip(
            self.pictures(),
            episodes.overlaid(episodes.as_pictures(self.seen), self.saliency),
            self.scores,
            self.action,
            self.reward,
            self.value,
            names,
            "probability" if self.policy else "value",
        )


class Plays(Protocol):
    """A task of an agent: PPO, or one with values of actions.

    If it has `expected`, that makes values of actions `[n, actions]` out of what the net gives.
    """

    @property
    def model(self) -> Agent: ...

    @property
    def world(self) -> World: ...


def watch(
    task: Plays,
    variables: Mapping[str, Any],
    seed: int,
    longest: int = WATCHED,
    greedy: bool = True,
) -> Episode:
    """Play the episode of a seed as `play.both_ways` does, and keep it.

    Saliency is the gradient of the logit or value of the action that was taken, by absolute value,
    the largest of the channels (Simonyan et al. 2013, arXiv:1312.6034, section 3).
    """
    policy = not isinstance(task.model, ActionValues)
    kept = jax.device_get(_played(task, longest, variables, seed, greedy))
    turns = int(kept.pop("turns"))
    rows = {name: array[:turns] for name, array in kept.items()}
    return Episode(
        np.asarray(visible(rows["seen"])),
        rows["action"],
        np.asarray(jax.nn.softmax(rows["scores"])) if policy else rows["scores"],
        policy,
        rows["value"],
        rows["reward"],
        rows["saliency"],
        bool(rows["terminated"][-1]),
        rows.get("screen"),
    )


@functools.partial(jax.jit, static_argnums=(0, 1))
def _played(task: Plays, longest: int, variables: Any, seed: int, greedy: bool) -> dict[str, Array]:
    """Arrays `[longest, ...]`, of which the first `turns` rows are the episode and the others 0."""
    expected: Any = getattr(task, "expected", lambda values: values)
    screen: Any = getattr(task.world, "screen", None)

    def apply(seen: Array) -> tuple[Array, Array]:
        output: Any = task.model.apply(variables, seen[None], train=False)
        if isinstance(output, tuple):
            logits, value = output
            return logits[0], value[0]
        values = expected(output)[0]
        return values, values.max()

    def turn(number: Array, state: Any, seen: Array) -> tuple[Any, Array, Array, dict[str, Array]]:
        scores, value = apply(visible(seen))
        acting, choosing = jax.random.split(jax.random.fold_in(key, number + 1))
        action = jnp.where(greedy, scores.argmax(), jax.random.categorical(choosing, scores))
        kept = {"seen": seen, "action": action, "scores": scores, "value": value}
        kept |= {} if screen is None else {"screen": screen(state)}
        state, after = task.world.act(acting, state, action)
        kept |= {"reward": after.reward, "terminated": after.terminated}
        return state, after.seen, after.terminated | after.truncated, kept

    def going(carry: Any) -> Array:
        number, _, _, over, _ = carry
        return (number < longest) & ~over

    def step(carry: Any) -> Any:
        number, state, seen, _, kept = carry
        state, seen, over, row = turn(number, state, seen)
        kept = jax.tree.map(lambda rows, one: rows.at[number].set(one), kept, row)
        return number + 1, state, seen, over, kept

    def slope(number: Array, slopes: Array) -> Array:
        action = kept["action"][number]
        gradient = jax.grad(lambda s: apply(s)[0][action])(visible(kept["seen"][number]))
        return slopes.at[number].set(jnp.abs(gradient).max(-1))

    key = jax.random.key(seed)
    state, seen = task.world.begin(key)
    zero = jnp.zeros((), jnp.int32)
    row = jax.eval_shape(turn, zero, state, seen)[-1]
    blank = jax.tree.map(lambda one: jnp.zeros((longest, *one.shape), one.dtype), row)
    start = zero, state, seen, jnp.zeros((), bool), blank
    turns, *_, kept = jax.lax.while_loop(going, step, start)
    slopes = jnp.zeros((longest, *seen.shape[:2]))
    saliency = jax.lax.fori_loop(0, turns, slope, slopes)
    return {**kept, "saliency": saliency, "turns": turns}


def visible(seen: Array) -> Array:
    """A view as float32 in [0, 1]: worlds of pictures may give uint8."""
    return seen.astype(jnp.float32) / 255 if seen.dtype == jnp.uint8 else seen
