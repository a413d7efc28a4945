"""The peer of agents: PPO as a loop of its own, the whole round in one program, in plain Flax.

It is how PureJaxRL and CleanRL's JAX agents are built: turns, advantages, epochs and minibatches
are nested scans. There is no train step, no task and no checkpoint in it, and an episode that a
time limit ends counts as lost. Written after their papers' descriptions (Lu et al. 2022,
arXiv:2210.05639, appendix; Huang et al. 2022, arXiv:2111.08819).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jresnet.benchmark.jax_nets import compiled
from jresnet.benchmark.timing import Contestant
from jresnet.data.worlds.world import World
from jresnet.recipes.games import GameRecipe

NAME = "plain Flax"
Array = jax.Array


class PlainNet(nn.Module):
    """A 3x3 convolution, one residual block, a layer, and a policy with a value."""

    actions: int
    width: int
    hidden: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = nn.Conv(self.width, (3, 3))(x)
        y = nn.Conv(self.width, (3, 3))(nn.relu(x))
        x = nn.relu(x + nn.Conv(self.width, (3, 3))(nn.relu(y)))
        start = nn.initializers.orthogonal
        y = nn.relu(nn.Dense(self.hidden, kernel_init=start(2**0.5))(x.reshape(len(x), -1)))
        logits = nn.Dense(self.actions, kernel_init=start(0.01))(y)
        return logits, nn.Dense(1, kernel_init=start(1.0))(y)[:, 0]


class Turn(NamedTuple):
    """A turn of all worlds, arrays `[worlds, ...]`."""

    seen: Array
    action: Array
    likelihood: Array
    value: Array
    reward: Array
    done: Array


def agent(net: PlainNet, world: World, recipe: GameRecipe) -> Contestant:
    """Rounds of playing and learning, each `recipe.worlds * recipe.turns` frames."""
    optimizer = optax.chain(
        optax.clip_by_global_norm(recipe.clip), optax.adam(recipe.learning_rate, eps=1e-5)
    )

    def begin(key: Array) -> tuple[Any, Array]:
        return jax.vmap(world.begin)(jax.random.split(key, recipe.worlds))

    def start(key: Array) -> Any:
        worlds, seen = begin(key)
        params = net.init(key, seen)
        return params, optimizer.init(params), worlds, seen, key

    def one_round(state: Any) -> Any:
        params, moments, worlds, seen, key = state
        key, playing, learning = jax.random.split(key, 3)
        (worlds, seen), turns = jax.lax.scan(
            lambda carry, key: play(params, *carry, key),
            (worlds, seen),
            jax.random.split(playing, recipe.turns),
        )
        advantage = advantages(recipe, turns, net.apply(params, seen)[1])  # type: ignore[index]
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (turns, advantage))
        (params, moments), _ = jax.lax.scan(
            lambda carry, key: epoch(carry, flat, key),
            (params, moments),
            jax.random.split(learning, recipe.epochs),
        )
        return params, moments, worlds, seen, key

    def play(params: Any, worlds: Any, seen: Array, key: Array) -> Any:
        drawing, acting, beginning = jax.random.split(key, 3)
        output: Any = net.apply(params, seen)
        logits, value = output
        action = jax.random.categorical(drawing, logits)
        keys = jax.random.split(acting, recipe.worlds)
        after, turn = jax.vmap(world.act)(keys, worlds, action)
        done = turn.terminated | turn.truncated

        def chosen(new: Array, old: Array) -> Array:
            return jnp.where(done.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        following = jax.tree.map(chosen, begin(beginning), (after, turn.seen))
        likelihood = of_action(logits, action)
        return following, Turn(seen, action, likelihood, value, turn.reward, done)

    def epoch(carry: Any, flat: Any, key: Array) -> Any:
        frames = recipe.worlds * recipe.turns
        order = jax.random.permutation(key, frames).reshape(recipe.minibatches, -1)
        parts = jax.tree.map(lambda x: x[order], flat)
        return jax.lax.scan(lambda carry, part: (learn(carry, *part), None), carry, parts)

    def learn(carry: Any, turns: Turn, advantage: Array) -> Any:
        params, moments = carry
        gradient = jax.grad(lambda params: objective(net, recipe, params, turns, advantage))(params)
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments

    state = jax.jit(start)(jax.random.key(0))
    program, seconds, peak = compiled(one_round, (state,), donate=True)

    def run(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state = program(state)
        jax.block_until_ready(state)

    return Contestant(run, seconds, peak)


def objective(
    net: PlainNet, recipe: GameRecipe, params: Any, turns: Turn, advantage: Array
) -> Array:
    """PPO's loss of a minibatch (arXiv:1707.06347, equation 9), values clipped by nothing."""
    output: Any = net.apply(params, turns.seen)
    logits, value = output
    ratio = jnp.exp(of_action(logits, turns.action) - turns.likelihood)
    normal = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    policy = -jnp.minimum(ratio * normal, jnp.clip(ratio, 0.8, 1.2) * normal).mean()
    entropy = -(jax.nn.softmax(logits) * jax.nn.log_softmax(logits)).sum(-1).mean()
    errors = jnp.square(value - (advantage + turns.value)).mean()
    return policy + 0.25 * errors - recipe.entropy * entropy


def advantages(recipe: GameRecipe, turns: Turn, last: Array) -> Array:
    """Generalised advantages `[turns, worlds]` (arXiv:1506.02438, equation 16)."""

    def before(carry: tuple[Array, Array], turn: Turn) -> tuple[tuple[Array, Array], Array]:
        later, following = carry
        going = 1.0 - turn.done
        delta = turn.reward + recipe.gamma * going * following - turn.value
        later = delta + recipe.gamma * recipe.lam * going * later
        return (later, turn.value), later

    return jax.lax.scan(before, (jnp.zeros_like(last), last), turns, reverse=True)[1]


def of_action(logits: Array, action: Array) -> Array:
    """The log-likelihood of each action taken, `[n]`."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], -1)[:, 0]
