"""Deep Q-network and the parts of Rainbow (arXiv:1710.02298) on the one train step."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.models.heads.policy import ActionValues
from jresnet.tasks import replay as ring
from jresnet.tasks import returns
from jresnet.tasks.base import MEMORY, Array, Batch, Metrics, Variables, total
from jresnet.tasks.play import LONGEST, Played, Player, begin, roll
from jresnet.tasks.q_values import as_logits, explored, falling, value_of
from jresnet.tasks.replay import Replay, Windows


@dataclasses.dataclass(frozen=True)
class DQN(Player):
    """Values of actions, learnt from a replay memory (Mnih et al. 2015, doi:10.1038/nature14236).

    A step plays `turns` turns in as many worlds as the batch has rows, and learns from `batch`
    turns of the replay. Worlds, replay, the target net and counters are the task's memory: a run
    that is killed goes on to the bit, and a checkpoint is as large as the replay.

    - model: its fields `dueling`, `atoms` and `noisy` are parts of Rainbow too.
    - world: the game.
    - turns: in each world between two updates.
    - batch: turns an update learns from.
    - replay: turns kept in all worlds together.
    - first: turns in all worlds together that are played at random before the first step.
    - gamma: discount of a turn.
    - steps: rewards that are added up before a value is asked for (n-step returns).
    - target_every: steps after which the target net becomes the net as it is.
    - double: the net chooses the action that the target net values (double DQN, arXiv:1509.06461).
    - priority: power of the error by which turns are drawn, 0 for all alike (arXiv:1511.05952).
    - correction: of the chances at first; over `annealing` steps it becomes whole.
    - support: lowest and highest return that a net with `atoms` can tell.
    - exploration, epsilon: steps over which the share of actions at random falls, and to which.
      The evaluation's sampling player has the latter.
    - signs: of rewards instead of rewards, in learning alone.
    - longest: turns after which an episode of the evaluation is cut off.

    Metrics of training: `loss`; `action_value`, the mean of the actions learnt from; `exploration`;
    `sampled_return` of the episodes that ended, each once. Of the evaluation: those of `Player`.
    """

    model: ActionValues
    world: World
    turns: int = 1
    batch: int = 32
    replay: int = 100_000
    first: int = 5_000
    gamma: float = 0.99
    steps: int = 1
    target_every: int = 1_000
    double: bool = False
    priority: float = 0.0
    correction: float = 0.4
    annealing: int = 1_000_000
    support: tuple[float, float] = (-10.0, 10.0)
    exploration: int = 100_000
    epsilon: float = 0.05
    signs: bool = False
    longest: int = LONGEST
    unit = "frame"

    def __post_init__(self) -> None:
        """Raises UsageError for a replay smaller than a batch, or than what is played first."""
        if self.first < 1:
            raise UsageError(f"first={self.first}: expected 1 or more")
        if len(self.support) != 2 or not self.support[0] < self.support[1]:
            values = " ".join(f"{value:g}" for value in self.support)
            raise UsageError(f"support={values}: expected two values, the lower one first")
        if self.replay < (least := max(self.batch, self.first)):
            raise UsageError(
                f"replay={self.replay}: expected {least} or more, a batch of {self.batch} and the "
                f"first {self.first} turns"
            )

    def rows(self, worlds: int) -> tuple[int, int]:
        """Turns kept in each world, and those played first: whole multiples of `turns`.

        Raises UsageError for a replay too small for that.
        """
        first = turns_first(self.replay, self.turns, self.batch, self.first, worlds)
        return self.replay // (worlds * self.turns) * self.turns, first

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        net_key, world_key, play_key = jax.random.split(rng, 3)
        count = len(batch["seed"])
        size, first = self.rows(count)
        playing = begin(self.world, world_key, count)
        net = dict(self.model.init(net_key, playing["seen"], train=False))
        playing, played, _ = self._play(net, playing, play_key, 1.0, first)
        memory = {
            "playing": playing,
            "replay": ring.write(ring.blank(played, size), played),
            "target": net["params"],
            "step": jnp.zeros((), jnp.int32),
            "frames": jnp.asarray(first * count, jnp.int32),
        }
        return {**net, MEMORY: memory}

    def _play(
        self, net: Variables, playing: Any, key: Array, epsilon: Array | float, turns: int
    ) -> tuple[Any, Played, tuple[Array, Array]]:
        def choose(key: Array, seen: Array) -> tuple[Array, dict[str, Array]]:
            noise, choice = jax.random.split(key)
            values = self.expected(self._output(net, seen, noise))
            return explored(choice, values, epsilon), {}

        return roll(self.world, choose, None, playing, key, turns)

    def _output(self, net: Variables, seen: Array, noise: Array | None = None) -> Array:
        rngs = {"noise": noise} if self.model.noisy and noise is not None else None
        output: Any = self.model.apply(net, seen, train=False, rngs=rngs)
        return output

    @property
    def atoms(self) -> Array:
        """The returns that the net gives a distribution over, `[atoms]`."""
        return jnp.linspace(*self.support, self.model.atoms or 1)

    def expected(self, output: Array) -> Array:
        """Values `[n, actions]` of the net's output."""
        if self.model.atoms is None:
            return output
        return jax.nn.softmax(output) @ self.atoms

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        del batch  # its rows are the worlds, which are in memory
        memory = variables[MEMORY]
        net = {name: tree for name, tree in variables.items() if name != MEMORY}
        fixed = jax.lax.stop_gradient(net)
        step = memory["step"]
        play_key, draw_key, *noises = jax.random.split(rng, 5)

        epsilon = falling(step, self.exploration, self.epsilon)
        playing, played, finished = self._play(
            fixed, memory["playing"], play_key, epsilon, self.turns
        )
        replay = ring.write(memory["replay"], played)
        places = ring.sample(replay, draw_key, self.batch, self.priority)
        turns = ring.windows(self._rewarded(replay), places, self.steps, self.gamma)

        renew = step % self.target_every == 0
        target = jax.tree.map(
            lambda now, old: jnp.where(renew, now, old), fixed["params"], memory["target"]
        )
        following = self._following(fixed, {**fixed, "params": target}, turns.later, noises[:2])
        errors, taken, size = self._errors(
            self._output(net, turns.seen, noises[2]), turns, following
        )
        weights = self._weights(places.chance, replay, step)
        if self.priority:
            replay = ring.prioritise(replay, places, jax.lax.stop_gradient(size))

        frames = played["reward"].size
        metrics = {
            "loss": total(weights * errors),
            "action_value": total(taken),
            "exploration": (epsilon, jnp.ones(())),
            "sampled_return": finished,
            "examples": (jnp.asarray(frames, jnp.float32), jnp.ones(())),
        }
        counters = {"step": step + 1, "frames": memory["frames"] + frames}
        memory = {"playing": playing, "replay": replay, "target": target, **counters}
        state = {name: tree for name, tree in net.items() if name != "params"}
        return (weights * errors).mean(), ({**state, MEMORY: memory}, metrics)

    def _rewarded(self, replay: Replay) -> Replay:
        return {**replay, "reward": jnp.sign(replay["reward"])} if self.signs else replay

    def _weights(self, chance: Array, replay: Replay, step: Array) -> Array:
        """The weight of each turn; all 1 where each was as likely."""
        share = jnp.clip(step / self.annealing, 0.0, 1.0)
        power = self.correction + share * (1.0 - self.correction)
        return ring.correction(chance, replay, power if self.priority else 0.0)

    def _following(
        self, net: Variables, target: Variables, later: Array, noises: list[Array]
    ) -> Array:
        """The target net's output for the best action in what was seen later, `[n, ...]`."""
        output = self._output(target, later, noises[0])
        values = self.expected(output)
        choosing = self.expected(self._output(net, later, noises[1])) if self.double else values
        if self.model.atoms is None:
            return returns.double(choosing, values)
        return of_action(output, choosing.argmax(-1))

    def _errors(
        self, output: Array, turns: Windows, following: Array
    ) -> tuple[Array, Array, Array]:
        """Losses, values of the actions taken, and sizes of the errors for priorities, `[n]`."""
        taken = value_of(self.expected(output), turns.action)
        if self.model.atoms is None:
            error = taken - (turns.reward + turns.discount * following)
            return optax.huber_loss(error), taken, error
        chances = jax.nn.softmax(following)
        goal = returns.projected(turns.reward, turns.discount, chances, self.atoms)
        logits = of_action(output, turns.action)
        losses = optax.softmax_cross_entropy(logits, goal)
        # Rainbow's priority is the divergence: the cross-entropy less what no net can be below.
        least = -jnp.sum(jax.scipy.special.xlogy(goal, goal), -1)
        return losses, taken, losses - least

    def scores(self, net: Variables, seen: Array) -> Array:
        """Without noise in the weights."""
        return as_logits(self.expected(self._output(net, seen)), self.epsilon)


def turns_first(replay: int, turns: int, batch: int, first: int, worlds: int) -> int:
    """Turns in each world that are played first, a whole multiple of `turns`; the fields of `DQN`.

    Raises UsageError for a replay that holds no batch, or not the turns that are played first.
    """
    each = worlds * turns
    # Of a world's newest turn nothing is known yet: two at least are played first.
    played = max(-(-first // each), -(-2 // turns)) * turns
    least = max(2 * each, -(-batch // each) * each, played * worlds)
    if replay < least:
        raise UsageError(
            f"replay={replay}: expected {least} or more, for a batch of {batch} and the first "
            f"{first} turns, {turns} at a time in {worlds} worlds"
        )
    return played


def of_action(output: Array, action: Array) -> Array:
    """Logits over atoms of each action, `[n, atoms]`, out of `[n, actions, atoms]`."""
    return jnp.take_along_axis(output, action[:, None, None], 1)[:, 0]
