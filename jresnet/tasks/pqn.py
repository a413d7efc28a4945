"""Parallelised Q-network (Gallici et al. 2024, arXiv:2407.04811) on the one train step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.data.worlds.world import World
from jresnet.models.heads.policy import Agent
from jresnet.tasks.base import MEMORY, Array, Batch, Metrics, Variables, total
from jresnet.tasks.play import LONGEST, Played, Player, begin, roll
from jresnet.tasks.q_values import as_logits, explored, falling, value_of
from jresnet.tasks.returns import q_lambda
from jresnet.tasks.rounds import advance, blank


@dataclasses.dataclass(frozen=True)
class PQN(Player):
    """Values of actions, learnt from what they themselves play: no replay, and no target net.

    A step is one update from one minibatch. Every `epochs * minibatches` steps it first plays
    `turns` turns in as many worlds as the batch has rows, mostly by the action worth the most, and
    sets the targets of the round, Peng's Q(lambda), with the parameters as they are. LayerNorm in
    the net is what keeps this from diverging (section 3 of the paper). Worlds, what was played, and
    counters are the task's memory: a run that is killed goes on to the bit.

    - model: an `ActionValues` with `norm`.
    - world: the game.
    - turns: in each world between two rounds of learning.
    - epochs, minibatches: how often what was played is learnt from, and in how many parts.
    - gamma, lam: discount of a turn, and weight of longer returns (`returns.q_lambda`).
    - exploration: steps over which the share of actions at random falls from 1 to `epsilon`.
    - epsilon: that share from there on, and that of the sampling player of the evaluation.
    - signs: of rewards instead of rewards, in learning alone.
    - longest: turns after which an episode of the evaluation is cut off.

    Metrics of training: `loss`; `action_value`, the mean of the actions taken; `exploration`;
    `sampled_return` of the episodes that ended, each counted once. Of the evaluation: those of
    `Player`.
    """

    model: Agent
    world: World
    turns: int = 32
    epochs: int = 2
    minibatches: int = 32
    gamma: float = 0.99
    lam: float = 0.65
    exploration: int = 1000
    epsilon: float = 0.05
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
        shapes = jax.eval_shape(self._play, variables, playing, act_key, 1.0)[1]
        return {**variables, MEMORY: blank(playing, shapes)}

    def _play(
        self, net: Variables, playing: dict[str, Any], key: Array, epsilon: Array | float
    ) -> tuple[dict[str, Any], Played, tuple[Array, Array]]:
        """Play `turns` turns: what was seen, the action taken, and its target."""

        def choose(key: Array, seen: Array) -> tuple[Array, dict[str, Array]]:
            values = self._values(net, seen)
            return explored(key, values, epsilon), {"value": values.max(-1)}

        def value(seen: Array) -> Array:
            return self._values(net, seen).max(-1)

        playing, played, finished = roll(self.world, choose, value, playing, key, self.turns)
        ends = played["terminated"], played["truncated"]
        reward = jnp.sign(played["reward"]) if self.signs else played["reward"]
        target = q_lambda(reward, played["following"], *ends, self.gamma, self.lam)
        return (
            playing,
            {"seen": played["seen"], "action": played["action"], "target": target},
            finished,
        )

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        del batch  # its rows are the worlds, which are in memory
        memory = variables[MEMORY]
        net = {name: tree for name, tree in variables.items() if name != MEMORY}
        fixed = jax.lax.stop_gradient(net)
        epsilon = falling(memory["step"], self.exploration, self.epsilon)
        play_key, order_key = jax.random.split(rng)

        def play(playing: Any) -> Any:
            return self._play(fixed, playing, play_key, epsilon)

        memory, part, finished, frames = advance(
            memory, play, order_key, self.epochs, self.minibatches
        )
        taken = value_of(self._values(net, part["seen"]), part["action"])
        errors = 0.5 * jnp.square(taken - part["target"])
        metrics = {
            "loss": total(errors),
            "action_value": total(taken),
            "exploration": (epsilon, jnp.ones(())),
            "sampled_return": finished,
            "examples": (frames, jnp.ones(())),
        }
        state = {name: tree for name, tree in net.items() if name != "params"}
        return errors.mean(), ({**state, MEMORY: memory}, metrics)

    def _values(self, net: Variables, seen: Array) -> Array:
        """Values `[n, actions]`, the same in training and evaluation: LayerNorm knows no batch."""
        values: Any = self.model.apply(net, seen, train=False)
        return values

    def scores(self, net: Variables, seen: Array) -> Array:
        return as_logits(self._values(net, seen), self.epsilon)
