"""Targets of reinforcement learning: pure functions of what was played.

Arrays are float32 `[turns, ...]`, turn by turn. Two ends of an episode are told apart. A game that
has `terminated` is over and worth 0 from there on. One that is `truncated` by a time limit goes on
unseen: it is worth the value of the last thing that was seen, which is why every function takes the
`following` values, of what each turn led to before a new episode began. Nothing flows back over
either end.
"""

from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


def backwards(carry: Any, step: Any, turns: Any) -> Any:
    """Results of `step(carry, turn) -> (carry, result)` from the last turn to the first."""
    return jax.lax.scan(step, carry, turns, reverse=True)[1]


def gae(
    rewards: Array,
    values: Array,
    following: Array,
    terminated: Array,
    truncated: Array,
    gamma: float,
    lam: float,
) -> Array:
    """Generalised advantage estimates (Schulman et al. 2015, arXiv:1506.02438, equation 16).

    Args:
        rewards: of each turn.
        values: of what was seen before it.
        following: of what was seen after it, before a new episode began.
        terminated: whether the game was over, bool.
        truncated: whether it was cut off, bool.
        gamma: discount of a turn.
        lam: weight of longer estimates, the paper's lambda.
    """
    errors = rewards + gamma * jnp.where(terminated, 0.0, following) - values
    going_on = gamma * lam * (1.0 - (terminated | truncated).astype(jnp.float32))

    def step(later: Array, turn: tuple[Array, Array]) -> tuple[Array, Array]:
        error, factor = turn
        advantage = error + factor * later
        return advantage, advantage

    return backwards(jnp.zeros_like(values[0]), step, (errors, going_on))


def q_lambda(
    rewards: Array,
    following: Array,
    terminated: Array,
    truncated: Array,
    gamma: float,
    lam: float,
) -> Array:
    """Peng's Q(lambda) as in PQN (Gallici et al. 2024, arXiv:2407.04811, section 4).

    `following` is the highest value of an action in what was seen after each turn; otherwise as
    `gae`. The return of the last turn, and of one that ends an episode, is its one-step target.
    """
    ended = terminated | truncated
    following = jnp.where(terminated, 0.0, following)

    def step(later: Array, turn: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        reward, value, end = turn
        mixed = jnp.where(end, value, lam * later + (1 - lam) * value)
        target = reward + gamma * mixed
        return target, target

    return backwards(following[-1], step, (rewards, following, ended))


def double(online: Array, target: Array) -> Array:
    """The target net's value of the action that the online net prefers (arXiv:1509.06461).

    Both are `[..., actions]`; the result is `[...]`.
    """
    return jnp.take_along_axis(target, online.argmax(-1)[..., None], -1)[..., 0]


def projected(rewards: Array, discounts: Array, chances: Array, atoms: Array) -> Array:
    """A distribution of later returns, moved by rewards and discounts, on the same values again.

    C51's projection (Bellemare et al. 2017, arXiv:1707.06887, algorithm 1): what falls between two
    values is divided between them by its distance, what falls beyond an end is put there.

    Args:
        rewards: `[n]`.
        discounts: of what comes later, `[n]`; 0 where nothing does.
        chances: of the later returns, `[n, atoms]`.
        atoms: the values, evenly spaced, `[atoms]`.
    """
    moved = rewards[:, None] + discounts[:, None] * atoms[None]
    moved = jnp.clip(moved, atoms[0], atoms[-1])
    gap = atoms[1] - atoms[0]
    distance = jnp.abs(moved[:, None, :] - atoms[None, :, None]) / gap  # [n, to, from]
    return (jnp.clip(1.0 - distance, 0.0, 1.0) * chances[:, None, :]).sum(-1)
