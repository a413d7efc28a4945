"""Recipes of agents that play."""

import dataclasses
from typing import Any, Literal

import optax
from jax.sharding import PartitionSpec

from jresnet.data.worlds.episodes import Episodes
from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models.heads.policy import Agent
from jresnet.recipes.changes import with_changes
from jresnet.tasks.play import LONGEST
from jresnet.tasks.ppo import PPO
from jresnet.train.loop import Plan
from jresnet.train.optim import clipped, scheduled

RecipeName = Literal["minutes", "minatar", "atari"]
# Each device plays its own share of the worlds and keeps what was played there.
SHARDING = (
    ("memory/playing", PartitionSpec("data")),
    ("memory/played", PartitionSpec(None, "data")),
)


@dataclasses.dataclass(frozen=True)
class GameRecipe:
    """How an agent is trained by PPO: Adam, gradients clipped.

    - frames: turns in all worlds together, rounded down to whole rounds of playing.
    - worlds: games that are played at once.
    - turns: in each between two rounds of learning.
    - epochs, minibatches, gamma, lam, entropy, signs, longest: those of `PPO`.
    - policy_clip: how far the probability of an action may move, the `clip` of `PPO`.
    - learning_rate: the first; it falls to 0 along a line if `decays`.
    - clip: largest norm of the gradients.
    - evaluations: at most so many over the training, the last one included.
    - episodes: of an evaluation.
    """

    frames: int
    learning_rate: float
    decays: bool = True
    worlds: int = 64
    turns: int = 32
    epochs: int = 4
    minibatches: int = 4
    gamma: float = 0.99
    lam: float = 0.95
    entropy: float = 0.01
    policy_clip: float = 0.2
    signs: bool = False
    clip: float = 0.5
    longest: int = LONGEST
    evaluations: int = 5
    episodes: int = 32

    def changed(self, **changes: Any) -> "GameRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)

    @property
    def rounds(self) -> int:
        """Rounds of playing. Raises UsageError for less than one, or parts that are not equal."""
        return whole_rounds(self.frames, self.worlds, self.turns, self.minibatches)

    def experiment(self, net: Agent, world: World, seed: int = 0) -> Experiment:
        """The training of `net`, an `ActorCritic`. Raises UsageError as `rounds` does."""
        task = PPO(
            net,
            world,
            self.turns,
            self.epochs,
            self.minibatches,
            self.gamma,
            self.lam,
            clip=self.policy_clip,
            entropy=self.entropy,
            signs=self.signs,
            longest=self.longest,
        )
        rounds, period = self.rounds, task.period
        plan = plan_of(rounds, period, self.evaluations, seed)
        last = 0.0 if self.decays else self.learning_rate
        rate = optax.linear_schedule(self.learning_rate, last, rounds * period)
        # 1e-5 as in the paper's code: with 1e-8 early steps are too long.
        optimizer = scheduled(clipped(optax.adam(rate, eps=1e-5), self.clip), rate)
        data = Episodes(self.worlds, self.episodes, self.episodes)
        return Experiment(task, data, optimizer, plan, sharding=SHARDING)


def plan_of(rounds: int, period: int, evaluations: int, seed: int) -> Plan:
    """Steps, evaluations and records of so many rounds of `period` steps."""
    every = -(-rounds // evaluations) * period
    logs = max(1, rounds // 50) * period
    return Plan(rounds * period, seed, eval_every=every, save_every=every, log_every=logs)


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


RECIPES: dict[RecipeName, GameRecipe] = {
    # Minutes on two CPU cores, where frames cost the same in minibatches of any size: 128 of them
    # learn more from as many frames than the 512 of the published settings.
    "minutes": GameRecipe(196_608, 1e-3, epochs=3, minibatches=16),
    # The settings of pgx's MinAtar runs (examples/minatar-ppo), for an accelerator: minibatches of
    # 4,096 frames. purejaxrl's have 64 worlds, 10 million frames and a rate from 5e-3 to 0.
    "minatar": GameRecipe(
        20_000_000, 3e-4, decays=False, worlds=4096, turns=128, epochs=3, minibatches=128,
        evaluations=10, episodes=128,
    ),
    # Schulman et al. 2017 (arXiv:1707.06347, table 5), with the epochs, the value's weight and the
    # gradients' norm of its code (openai/baselines, ppo2). The policy's clip stays at 0.1, where both
    # let it fall with the rate.
    "atari": GameRecipe(
        10_000_000, 2.5e-4, worlds=8, turns=128, policy_clip=0.1, signs=True, longest=27_000,
        evaluations=10, episodes=8,
    ),
}  # fmt: skip
