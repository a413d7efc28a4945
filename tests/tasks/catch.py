"""A game whose worlds lie in an agent's memory."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jresnet.tasks.base import MEMORY, total
from tests.tasks.toys import examples

SIDE, WORLDS, TURNS = 5, 32, 8


def fresh(rng):
    """A ball at the top and a paddle in the middle: [row, column, paddle] int32."""
    return jnp.stack(
        [
            jnp.zeros((), jnp.int32),
            jax.random.randint(rng, (), 0, SIDE),
            SIDE // 2 + 0 * jnp.zeros((), jnp.int32),
        ]
    )


def seen(worlds):
    """Images `[worlds, SIDE, SIDE, 2]` of ball and paddle."""
    row, column, paddle = jnp.moveaxis(worlds, -1, 0)
    row, column, paddle = (place[:, None, None] for place in (row, column, paddle))
    down, across = jnp.arange(SIDE)[None, :, None], jnp.arange(SIDE)[None, None]
    ball = (row == down) & (column == across)
    hand = (down == SIDE - 1) & (paddle == across)
    return jnp.stack([ball, hand], -1).astype(jnp.float32)


def turn(worlds, actions):
    """The ball falls, paddles move by -1, 0, 1: (worlds, rewards, whether the ball is down)."""
    row, column, paddle = jnp.moveaxis(worlds, -1, 0)
    paddle = jnp.clip(paddle + actions - 1, 0, SIDE - 1)
    row = row + 1
    down = row == SIDE - 1
    reward = jnp.where(down, jnp.where(column == paddle, 1.0, -1.0), 0.0)
    return jnp.stack([row, column, paddle], -1), reward, down


class Actor(nn.Module):
    """Logits of three moves and the value of what is seen."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(32, name="dense1")(x.reshape(len(x), -1)))
        x = x + nn.relu(nn.Dense(32, name="dense2")(x))
        return nn.Dense(3, name="policy")(x), nn.Dense(1, name="value")(x)[:, 0]


@dataclasses.dataclass(frozen=True)
class Catch:
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783) on a game that memory holds.

    Every step acts for TURNS turns in WORLDS worlds, with the parameters as they are, and learns
    from that. Evaluation plays one episode for each seed in the data, greedily.
    """

    model: nn.Module = dataclasses.field(default_factory=Actor)
    unit = "frame"

    def init(self, rng, batch):
        worlds = jax.vmap(fresh)(jax.random.split(jax.random.key(0), WORLDS))
        variables = dict(self.model.init(rng, seen(worlds)))
        return {**variables, MEMORY: {"worlds": worlds, "frames": jnp.zeros((), jnp.int32)}}

    def loss(self, variables, batch, rng):
        params, memory = variables["params"], variables[MEMORY]

        def act(worlds, key):
            choose, start = jax.random.split(key)
            logits, _ = self.model.apply({"params": jax.lax.stop_gradient(params)}, seen(worlds))
            actions = jax.random.categorical(choose, logits)
            after, rewards, down = turn(worlds, actions)
            anew = jax.vmap(fresh)(jax.random.split(start, WORLDS))
            after = jnp.where(down[:, None], anew, after)
            return after, (seen(worlds), actions, rewards, down)

        worlds, (images, actions, rewards, down) = jax.lax.scan(
            act, memory["worlds"], jax.random.split(rng, TURNS)
        )
        flat = images.reshape(-1, *images.shape[2:])
        logits, values = self.model.apply({"params": params}, flat)
        logits, values = logits.reshape(TURNS, WORLDS, 3), values.reshape(TURNS, WORLDS)
        _, last = self.model.apply({"params": jax.lax.stop_gradient(params)}, seen(worlds))

        def backwards(following, turn):
            reward, done = turn
            target = reward + 0.9 * jnp.where(done, 0.0, following)
            return target, target

        _, targets = jax.lax.scan(backwards, last, (rewards, down), reverse=True)
        advantages = jax.lax.stop_gradient(targets - values)
        chosen = -optax.softmax_cross_entropy_with_integer_labels(logits, actions)
        entropy = -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), -1)
        losses = -chosen * advantages + 0.5 * jnp.square(values - targets) - 0.01 * entropy
        frames = jnp.asarray(WORLDS * TURNS)
        memory = {"worlds": worlds, "frames": memory["frames"] + frames}
        metrics = {
            "loss": (losses.sum(), jnp.asarray(losses.size, jnp.float32)),
            "return": (rewards.sum(), down.sum().astype(jnp.float32) + 1e-9),
            "examples": (frames.astype(jnp.float32), jnp.ones(())),
        }
        return losses.mean(), ({MEMORY: memory}, metrics)

    def evaluate(self, variables, batch):
        worlds = jax.vmap(lambda seed: fresh(jax.random.key(seed)))(batch["seed"])

        def act(worlds, _):
            logits, _ = self.model.apply({"params": variables["params"]}, seen(worlds))
            after, rewards, _ = turn(worlds, logits.argmax(-1))
            return after, rewards

        _, rewards = jax.lax.scan(act, worlds, length=SIDE - 1)
        returns = rewards.sum(0)
        return {
            "loss": total(-returns, batch["valid"]),
            "return": total(returns, batch["valid"]),
            "examples": examples(batch),
        }
