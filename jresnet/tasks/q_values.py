"""Playing by the values of actions, which agents that learn such values share."""

import jax
import jax.numpy as jnp

from jresnet.tasks.base import Array


def value_of(values: Array, action: Array) -> Array:
    """The value of each action taken, `[n]`, out of `[n, actions]`."""
    return jnp.take_along_axis(values, action[:, None], -1)[:, 0]


def explored(key: Array, values: Array, epsilon: Array | float) -> Array:
    """Actions `[n]`: with a chance of `epsilon` any at random, otherwise the one worth the most."""
    return jax.random.categorical(key, as_logits(values, epsilon))


def as_logits(values: Array, epsilon: Array | float) -> Array:
    """Logarithms of the probabilities with which `explored` takes each action, `[n, actions]`.

    The highest is that of the action worth the most, also with an `epsilon` of 1.
    """
    count = values.shape[-1]
    best = jax.nn.one_hot(values.argmax(-1), count)
    # Just below 1, so that the best is told from the others; just above 0, so that the rest exist.
    epsilon = jnp.clip(epsilon, 1e-6, 1 - 1e-6)
    return jnp.log(epsilon / count + (1 - epsilon) * best)


def falling(step: Array, over: int, last: float) -> Array:
    """The share of actions at random: from 1 to `last` along a line over so many steps."""
    share = jnp.clip(step / max(over, 1), 0.0, 1.0)
    return 1.0 + share * (last - 1.0)
