"""A user's environment of gymnax."""

import jax.numpy as jnp
from gymnax.environments.minatar.breakout import MinBreakout


class Double(MinBreakout):
    """Breakout whose bricks are worth 2."""

    def step_env(self, key, state, action, params):
        seen, state, reward, done, info = super().step_env(key, state, action, params)
        return seen, state, 2 * jnp.asarray(reward), done, info
