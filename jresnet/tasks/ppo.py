"""Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) on the one train step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.data.worlds.world import World
from jresnet.models.heads.policy import Agent
from jresnet.tasks.base import MEMORY, Array, Batch, Metrics, Variables
from jresnet.tasks.play import LONGEST, Played, Player, begin, roll
from jresnet.tasks.returns import gae
from jresnet.tasks.rounds import advance, blank


@dataclasses.dataclass(frozen=True)
class PPO(Player):
    """A policy and a value, learnt from what the policy itself plays.

    A step is one update from one minibatch. Every `epochs * minibatches` steps it first plays
    `turns` turns in as many worlds as the batch has rows, with the parameters as they are. Worlds,
    what was played, and counters are the task's memory: a run that is killed goes on to the bit.

    - model: an `ActorCritic`.
    - world: the game.
    - turns: in each world between two rounds of learning.
    - epochs, minibatches: how often what was played is learnt from, and in how many parts.
    - gamma, lam: discount of a turn, and weight of longer estimates (`returns.gae`).
    - clip: how far the probability of an action may move, as a share.
    - entropy, value_weight: weights of the entropy and of the value's loss.
    - signs: of rewards instead of rewards, in learning alone.
    - longest: turns after which an episode of the evaluation is cut off.

    Metrics of training: `loss` and its parts; `sampled_return` of the episodes that ended, each
    counted once; `clipped`, the share of probabilities that met the clip. Of the evaluation: those
    of `Player`.
    """

    model: Agent
    world: World
    turns: int = 32
    epochs: int = 4
    minibatches: int = 4
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value_weight: float = 0.5
    signs: bool = False
    longest: int = LONGEST
    unit = "frame"

    @property
    def period(self) -> int:
        """Steps from one round of playing to the next."""
        return self.epochs * self.minibatches

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        net_key, world_key, act_key = jax.random.split(rng, 3)
        playing = begin(self.world, world_key, len(batch["seed"]))
        variables = dict(self.model.init(net_key, playing["seen"], train=False))
        shapes = jax.eval_shape(self._play, variables, playing, act_key)[1]
        return {**variables, MEMORY: blank(playing, shapes)}

    def _play(
        self, variables: Variables, playing: dict[str, Any], key: Array
    ) -> tuple[dict[str, Any], Played, tuple[Array, Array]]:
        """Play `turns` turns; `played` `[turns, worlds, ...]` has what is learnt from."""

        def choose(key: Array, seen: Array) -> tuple[Array, dict[str, Array]]:
            output: Any = self.model.apply(variables, seen, train=False)
            logits, value = output
            action = jax.random.categorical(key, logits)
            return action, {"value": value, "likelihood": of_action(logits, action)}

        def value(seen: Array) -> Array:
            output: Any = self.model.apply(variables, seen, train=False)
            return output[1]

        playing, played, finished = roll(self.world, choose, value, playing, key, self.turns)
        ends = played["terminated"], played["truncated"]
        reward = jnp.sign(played["reward"]) if self.signs else played["reward"]
        advantage = gae(reward, played["value"], played["following"], *ends, self.gamma, self.lam)
        names = ("seen", "action", "value", "likelihood")
        return playing, {name: played[name] for name in names} | {"advantage": advantage}, finished

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        del batch  # its rows are the worlds, which are in memory
        memory = variables[MEMORY]
        net = {name: tree for name, tree in variables.items() if name != MEMORY}
        fixed = jax.lax.stop_gradient(net)

        def play(playing: Any) -> Any:
            return self._play(fixed, playing, rng)

        memory, part, finished, frames = advance(
            memory, play, jax.random.fold_in(rng, 1), self.epochs, self.minibatches
        )
        value, metrics = self._measure(net, part)
        metrics |= {"sampled_return": finished, "examples": (frames, jnp.ones(()))}
        state = {name: tree for name, tree in net.items() if name != "params"}
        return value, ({**state, MEMORY: memory}, metrics)

    def _measure(self, net: Variables, part: Played) -> tuple[Array, Metrics]:
        """The loss of a minibatch (section 3 and equation 9 of the paper), and its parts."""
        output: Any = self.model.apply(net, part["seen"], train=True)
        logits, values = output
        advantage = part["advantage"]
        normal = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        ratio = jnp.exp(of_action(logits, part["action"]) - part["likelihood"])
        bounded = jnp.clip(ratio, 1 - self.clip, 1 + self.clip)
        policy = -jnp.minimum(ratio * normal, bounded * normal)
        # The value's step is bounded as the policy's is, as in the paper's code.
        target = advantage + part["value"]
        near = part["value"] + jnp.clip(values - part["value"], -self.clip, self.clip)
        error = 0.5 * jnp.maximum(jnp.square(values - target), jnp.square(near - target))
        entropy = -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), -1)
        losses = policy + self.value_weight * error - self.entropy * entropy
        parts = {
            "loss": losses,
            "policy_loss": policy,
            "value_loss": error,
            "entropy": entropy,
            "clipped": (jnp.abs(ratio - 1) > self.clip).astype(jnp.float32),
        }
        count = jnp.asarray(len(losses), jnp.float32)
        return losses.mean(), {name: (each.sum(), count) for name, each in parts.items()}

    def scores(self, net: Variables, seen: Array) -> Array:
        return self.model.apply(net, seen, train=False)[0]


def of_action(logits: Array, action: Array) -> Array:
    """The logarithm of the probability of each action, `[n]`."""
    return jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], -1)[..., 0]
