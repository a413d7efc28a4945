"""Recipes of agents that play by the values of actions."""

import dataclasses
import typing
from typing import Literal

import optax
from jax.sharding import PartitionSpec

from jresnet.data.worlds.episodes import Episodes
from jresnet.data.worlds.world import World
from jresnet.experiment import Experiment
from jresnet.models.heads.policy import ActionValues, Agent
from jresnet.recipes.games import SHARDING, RecipeName, plan_of, whole_rounds
from jresnet.tasks.dqn import DQN, turns_first
from jresnet.tasks.play import LONGEST
from jresnet.tasks.pqn import PQN
from jresnet.train.optim import clipped, scheduled

Part = Literal["double", "dueling", "steps", "prioritised", "distributional", "noisy"]
RAINBOW: tuple[Part, ...] = typing.get_args(Part)
# Each device keeps the turns of its own worlds; two numbers are everybody's.
REPLAY_SHARDING = (
    ("memory/playing", PartitionSpec("data")),
    ("memory/replay/(count|highest)", PartitionSpec()),
    ("memory/replay", PartitionSpec(None, "data")),
)


@dataclasses.dataclass(frozen=True)
class PQNRecipe:
    """How an agent is trained by PQN: RAdam, gradients clipped.

    - frames: turns in all worlds together, rounded down to whole rounds of playing.
    - learning_rate: the first; it falls to 0 along a line if `decays`.
    - worlds: games that are played at once.
    - turns, epochs, minibatches, gamma, lam, epsilon, signs, longest: those of `PQN`.
    - exploration: share of the training over which actions at random fall to `epsilon`.
    - clip: largest norm of the gradients.
    - evaluations: at most so many over the training, the last one included.
    - episodes: of an evaluation.
    """

    frames: int
    learning_rate: float
    decays: bool = True
    worlds: int = 128
    turns: int = 32
    epochs: int = 2
    minibatches: int = 32
    gamma: float = 0.99
    lam: float = 0.65
    exploration: float = 0.1
    epsilon: float = 0.05
    signs: bool = False
    clip: float = 10.0
    longest: int = LONGEST
    evaluations: int = 5
    episodes: int = 32

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
            signs=self.signs,
            longest=self.longest,
        )
        plan = plan_of(self.rounds, task.period, self.evaluations, seed)
        last = 0.0 if self.decays else self.learning_rate
        rate = optax.linear_schedule(self.learning_rate, last, steps)
        optimizer = scheduled(clipped(optax.radam(rate), self.clip), rate)
        data = Episodes(self.worlds, self.episodes, self.episodes)
        return Experiment(task, data, optimizer, plan, sharding=SHARDING)


@dataclasses.dataclass(frozen=True)
class DQNRecipe:
    """How an agent is trained by DQN: Adam at one rate, gradients clipped.

    - frames: turns in all worlds together, those played at random first left out.
    - learning_rate: of Adam, whose epsilon is Rainbow's.
    - worlds: games that are played at once.
    - turns, batch, replay, first, gamma, target_every, epsilon, signs, longest: those of `DQN`.
    - parts: of Rainbow. "steps" adds up `n_steps` rewards; "prioritised" draws by the root of the error,
      made up for by 0.4 at first and wholly at the end; with "noisy" no action is random.
    - exploration: share of the training over which actions at random fall to `epsilon`.
    - clip: largest norm of the gradients.
    - support: the least and the largest value that the distributional head tells.
    - atoms: how many values it tells, these two among them.
    - evaluations: at most so many over the training, the last one included.
    - episodes: of an evaluation.
    """

    frames: int
    learning_rate: float
    worlds: int = 16
    turns: int = 2
    batch: int = 128
    replay: int = 65_536
    first: int = 4_096
    gamma: float = 0.99
    target_every: int = 250
    parts: tuple[Part, ...] = ()
    exploration: float = 0.1
    epsilon: float = 0.05
    signs: bool = False
    clip: float = 10.0
    n_steps: int = 3
    support: tuple[float, float] = (-10.0, 10.0)
    atoms: int = 51  # arXiv:1707.06887, section 5
    longest: int = LONGEST
    evaluations: int = 5
    episodes: int = 32

    @property
    def rounds(self) -> int:
        """Steps. Raises UsageError for less than one."""
        return whole_rounds(self.frames, self.worlds, self.turns, 1)

    def experiment(self, net: Agent, world: World, seed: int = 0) -> Experiment:
        """The training of `net`, an `ActionValues` which has the heads of `parts`. Raises UsageError as `DQN` does."""
        steps, noisy = self.rounds, "noisy" in self.parts
        assert isinstance(net, ActionValues)
        # Before DQN, which does not know of the worlds and would tell a smaller bound.
        turns_first(self.replay, self.turns, self.batch, self.first, self.worlds)
        task = DQN(
            net,
            world,
            self.turns,
            self.batch,
            self.replay,
            self.first,
            self.gamma,
            steps=self.n_steps if "steps" in self.parts else 1,
            target_every=self.target_every,
            double="double" in self.parts,
            priority=0.5 if "prioritised" in self.parts else 0.0,
            support=self.support,
            annealing=steps,
            exploration=1 if noisy else max(1, round(self.exploration * steps)),
            epsilon=0.0 if noisy else self.epsilon,
            signs=self.signs,
            longest=self.longest,
        )
        plan = plan_of(steps, 1, self.evaluations, seed)
        rate = optax.constant_schedule(self.learning_rate)
        optimizer = scheduled(clipped(optax.adam(rate, eps=1.5e-4), self.clip), rate)
        data = Episodes(self.worlds, self.episodes, self.episodes)
        return Experiment(task, data, optimizer, plan, sharding=REPLAY_SHARDING)


PQN_RECIPES: dict[RecipeName, PQNRecipe] = {
    # Minutes on two CPU cores.
    "minutes": PQNRecipe(262_144, 5e-4, worlds=64, minibatches=16),
    # The paper's MinAtar settings, from the code of its authors (purejaxql, pqn_minatar.yaml).
    "minatar": PQNRecipe(10_000_000, 5e-4, evaluations=20, episodes=128),
    # Its Atari settings (pqn_atari.yaml): 40 million frames of the console are 10 million turns.
    "atari": PQNRecipe(
        10_000_000, 2.5e-4, decays=False, epsilon=0.001, signs=True, longest=27_000,
        evaluations=10, episodes=8,
    ),
}  # fmt: skip
DQN_RECIPES: dict[RecipeName, DQNRecipe] = {
    # Minutes on two CPU cores.
    "minutes": DQNRecipe(131_072, 5e-4),
    # The counts of MinAtar's authors (arXiv:1903.03176, table 1): an update of 32 turns a frame.
    # Rewards are 1. Breakout pays every second turn at most, once the ball is behind the wall: its
    # 30 bricks are then worth 23. Space Invaders pays every fifth turn, 20 in all.
    "minatar": DQNRecipe(
        5_000_000, 2.5e-4, worlds=8, turns=1, batch=256, replay=100_000, first=5_000,
        target_every=125, exploration=0.02, epsilon=0.1, support=(-10.0, 30.0), evaluations=20,
        episodes=128,
    ),
    # The rates of Rainbow (arXiv:1710.02298, table 1) with its four turns to an update of 32, and a
    # tenth of its replay, which is 2.8 GB of pictures as it is.
    "atari": DQNRecipe(
        10_000_000, 6.25e-5, worlds=16, turns=1, batch=128, replay=100_000, first=20_000,
        target_every=500, exploration=0.02, epsilon=0.01, signs=True, longest=27_000,
        evaluations=10, episodes=8,
    ),
}  # fmt: skip
