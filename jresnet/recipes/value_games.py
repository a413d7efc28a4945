"""Recipes of agents that play by the values of actions."""

import dataclasses
from typing import Any

import optax
from jax.sharding import PartitionSpec

from jresnet.data.worlds.episodes import Episodes
from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads.policy import Agent
from jresnet.recipes.changes import with_changes
from jresnet.recipes.games import SHARDING, RecipeName
from jresnet.tasks.pqn import PQN
from jresnet.train.loop import Plan
from jresnet.train.optim import clipped, scheduled

# Each device keeps the turns of its own worlds; two numbers are everybody's.
REPLAY_SHARDING = (
    ("memory/playing", PartitionSpec("data")),
    ("memory/replay/(count|highest)", PartitionSpec()),
    ("memory/replay", PartitionSpec(None, "data")),
)


@dataclasses.dataclass(frozen=True)
class PQNRecipe:
    """How an agent is trained by PQN: RAdam, its rate falling to 0 along a line, gradients clipped.

    - frames: turns in all worlds together, rounded down to whole rounds of playing.
    - learning_rate: the first.
    - worlds: games that are played at once.
    - turns, epochs, minibatches, gamma, lam, epsilon, longest: those of `PQN`.
    - exploration: share of the training over which actions at random fall to `epsilon`.
    - clip: largest norm of the gradients.
    - evaluations: so many over the training, the last one included.
    - episodes: of an evaluation.
    """

    frames: int
    learning_rate: float
    worlds: int = 128
    turns: int = 32
    epochs: int = 2
    minibatches: int = 32
    gamma: float = 0.99
    lam: float = 0.65
    exploration: float = 0.1
    epsilon: float = 0.05
    clip: float = 10.0
    longest: int = 1000
    evaluations: int = 5
    episodes: int = 32

    def changed(self, **changes: Any) -> "PQNRecipe":
        """The recipe with other fields; those that are None stay. Raises UsageError for `entropy`."""
        return with_changes(self, without_entropy("pqn", changes))

    @property
    def rounds(self) -> int:
        """Rounds of playing. Raises UsageError for less than one, or parts that are not equal."""
        return whole_rounds(self.frames, self.worlds, self.turns, self.minibatches)

    def experiment(self, net: Agent, world: World, seed: int = 0) -> Experiment:
        """The training of `net`, an `ActionValues`. Raises UsageError as `rounds` does."""
        steps = self.rounds * self.epochs * self.minibatches
        task = PQN(
            net,
            world,
            self.turns,
            self.epochs,
            self.minibatches,
            self.gamma,
            self.lam,
            exploration=max(1, round(self.exploration * steps)),
            epsilon=self.epsilon,
            longest=self.longest,
        )
        each = max(1, self.rounds // self.evaluations) * task.period
        logs = max(1, self.rounds // 50) * task.period
        plan = Plan(steps, seed, eval_every=each, save_every=each, log_every=logs)
        rate = optax.linear_schedule(self.learning_rate, 0.0, steps)
        optimizer = scheduled(clipped(optax.radam(rate), self.clip), rate)
        data = Episodes(self.worlds, self.episodes, self.episodes)
        return Experiment(task, data, optimizer, plan, sharding=SHARDING)


def whole_rounds(frames: int, worlds: int, turns: int, minibatches: int) -> int:
    """Rounds of playing. Raises UsageError for less than one, or parts that are not equal."""
    each = worlds * turns
    if frames < each:
        raise UsageError(
            f"frames={frames}: expected {each} or more, one round of {turns} turns "
            f"in {worlds} worlds"
        )
    if each % minibatches:
        raise UsageError(
            f"minibatches={minibatches}: expected a divisor of {each}, the frames of a round"
        )
    return frames // each


def without_entropy(agent: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The changes of a recipe for an agent that has no policy. Raises UsageError for `entropy`."""
    if changes.get("entropy") is not None:
        raise UsageError(
            f"entropy={changes['entropy']}: expected none, agent {agent} has values and no policy"
        )
    return {name: value for name, value in changes.items() if name != "entropy"}


PQN_RECIPES: dict[RecipeName, PQNRecipe] = {
    # Minutes on two CPU cores.
    "minutes": PQNRecipe(262_144, 5e-4, worlds=64, minibatches=16),
    # The paper's MinAtar settings, from the code of its authors (purejaxql, pqn_minatar.yaml).
    "minatar": PQNRecipe(10_000_000, 5e-4, evaluations=20, episodes=128),
}
