"""Playing: many worlds at once as training data, and whole episodes for evaluation."""

import abc
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.worlds.world import World
from jresnet.tasks.base import MEMORY, Array, Batch, Metrics, Variables, total

Choose = Callable[[Array, Array], tuple[Array, dict[str, Array]]]
Value = Callable[[Array], Array]
Played = dict[str, Array]


def begin(world: World, key: Array, count: int) -> dict[str, Any]:
    """Fresh `worlds`, what is `seen` of them, and the `running` return of each episode, 0."""
    worlds, seen = jax.vmap(world.begin)(jax.random.split(key, count))
    return {"worlds": worlds, "seen": seen, "running": jnp.zeros(count)}


def roll(
    world: World,
    choose: Choose,
    value: Value | None,
    playing: dict[str, Any],
    key: Array,
    turns: int,
) -> tuple[dict[str, Any], Played, tuple[Array, Array]]:
    """Play on for so many turns; an episode that ends is followed by a new one.

    Args:
        world: the game.
        choose: from a key and what is seen `[worlds, H, W, channels]` to actions `[worlds]`, and
            what else is to be kept of the turn; `value` is among that.
        value: from what is seen to its value `[worlds]`; without it `following` is left out.
        playing: as `begin` or the last call gave it.
        key: of the actions and the worlds.
        turns: in each world.

    Returns:
        `playing`; arrays `[turns, worlds, ...]`: `seen, action, reward, terminated, truncated,
        following` (the value of what a turn led to) and what `choose` keeps; and the sum of the
        returns of the episodes that ended, with their number.
    """

    def turn(playing: dict[str, Any], key: Array) -> tuple[dict[str, Any], Played]:
        choosing, acting, beginning = jax.random.split(key, 3)
        count = len(playing["running"])
        action, kept = choose(choosing, playing["seen"])
        keys = jax.random.split(acting, count)
        worlds, after = jax.vmap(world.act)(keys, playing["worlds"], action)
        cut = {}
        if value is not None:
            # A time limit is rare: a pass of the net over what is seen there is made when it comes.
            none = jnp.zeros(count)
            cut["cut"] = jax.lax.cond(after.truncated.any(), value, lambda s: none, after.seen)
        ended = after.terminated | after.truncated
        running = playing["running"] + after.reward
        new = begin(world, beginning, count)
        going = {"worlds": worlds, "seen": after.seen, "running": running}
        following = jax.tree.map(lambda n, o: jnp.where(_wide(ended, n), n, o), new, going)
        return following, {
            "seen": playing["seen"],
            "action": action,
            "reward": after.reward,
            # To learning a lost life is an end; the game goes on, and its return is counted whole.
            "terminated": after.terminated if after.lost is None else after.terminated | after.lost,
            "ended": ended,
            "truncated": after.truncated,
            "returned": jnp.where(ended, running, 0.0),
            **cut,
            **kept,
        }

    playing, played = jax.lax.scan(turn, playing, jax.random.split(key, turns))
    if value is not None:
        later = jnp.concatenate([played["value"][1:], value(playing["seen"])[None]])
        played["following"] = jnp.where(played["truncated"], played.pop("cut"), later)
    finished = played.pop("returned").sum(), played.pop("ended").sum().astype(jnp.float32)
    return playing, played, finished


LONGEST = 2500  # turns of an episode of an evaluation: MinAtar's Freeway is as long in gymnax


def episodes(
    world: World, choose: Callable[[Array, Array], Array], seeds: Array, longest: int
) -> tuple[Array, Array]:
    """Play the episode of each seed, uint32 `[n]`, to its end: returns and lengths, float32 `[n]`.

    `choose`, from keys `[n]` and what is seen to actions, has a key of its own for every episode
    and turn, so that no episode depends on the others. At `longest` turns an episode is cut off.
    """
    keys = jax.vmap(jax.random.key)(seeds)
    worlds, seen = jax.vmap(world.begin)(keys)
    zeros = jnp.zeros(len(seeds))

    def going(carry: Any) -> Array:
        number, *_, over = carry
        return (number < longest) & ~over.all()

    def turn(carry: Any) -> Any:
        number, worlds, seen, returns, lengths, over = carry
        # Not the keys that began the episodes, whatever the number.
        now = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, number + 1), 2))(keys)
        worlds, after = jax.vmap(world.act)(now[:, 0], worlds, choose(now[:, 1], seen))
        counts = (~over).astype(jnp.float32)
        over = over | after.terminated | after.truncated
        return (
            number + 1,
            worlds,
            after.seen,
            returns + counts * after.reward,
            lengths + counts,
            over,
        )

    start = (jnp.zeros((), jnp.int32), worlds, seen, zeros, zeros, zeros > 0)
    _, _, _, returns, lengths, _ = jax.lax.while_loop(going, turn, start)
    return returns, lengths


def both_ways(
    world: World, scores: Callable[[Array], Array], batch: Mapping[str, Array], longest: int
) -> tuple[Metrics, dict[str, Array]]:
    """Metrics and outputs of the episodes of a batch, each played greedily and played by sampling.

    `scores` gives logits `[n, actions]`: the greedy player takes the highest, the other one draws.
    """
    seeds, valid = batch["seed"], batch["valid"]
    count = len(seeds)
    greedy = jnp.arange(2 * count) < count

    def choose(keys: Array, seen: Array) -> Array:
        logits = scores(seen)
        return jnp.where(greedy, logits.argmax(-1), jax.vmap(jax.random.categorical)(keys, logits))

    # Rows that fill a batch up play the episode of another row, and count for nothing.
    returns, lengths = episodes(world, choose, jnp.concatenate([seeds, seeds]), longest)
    parts = {
        "greedy_return": returns[:count],
        "sampled_return": returns[count:],
        "greedy_length": lengths[:count],
    }
    metrics = {name: total(values, valid) for name, values in parts.items()}
    metrics["loss"] = total(-parts["sampled_return"], valid)  # what training would lower
    metrics["examples"] = jnp.sum(valid), jnp.ones(())
    return metrics, {"index": batch["index"], **parts}


class Player(abc.ABC):
    """The evaluation of an agent, a task with a `world` whose episodes end after `longest` turns.

    Metrics are the mean `greedy_return` and `sampled_return` of the same episodes, `greedy_median`
    and `greedy_iqm`.
    """

    world: World
    longest: int

    @abc.abstractmethod
    def scores(self, net: Variables, seen: Array) -> Array:
        """Logits `[n, actions]` of the policy that is evaluated, by a net's variables."""

    def measured(self, variables: Variables, batch: Batch) -> tuple[Metrics, dict[str, Array]]:
        """Metrics and returns of the episodes of `batch["seed"]`."""
        net = {name: tree for name, tree in variables.items() if name != MEMORY}
        scores = functools.partial(self.scores, net)
        return both_ways(self.world, scores, batch, self.longest)

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        return self.measured(variables, batch)[0]

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        return self.measured(variables, batch)[1]

    def collector(self) -> "Returns":
        return Returns()

    def summary(self, totals: Metrics) -> dict[str, float]:
        return means(totals)


class Returns:
    """A collector: the median and the interquartile mean of the greedy returns."""

    def __init__(self) -> None:
        self.returns: list[np.ndarray] = []
        self.index: list[np.ndarray] = []

    def add(self, outputs: Mapping[str, np.ndarray]) -> None:
        self.returns.append(outputs["greedy_return"])
        self.index.append(outputs["index"])

    def result(self) -> dict[str, float]:
        """Raises AssertionError unless every episode is there once."""
        index, returns = np.concatenate(self.index), np.concatenate(self.returns)
        assert sorted(index) == list(range(len(index))), "an episode was met twice"
        middle = interquartile_mean(returns)
        return {"greedy_median": float(np.median(returns)), "greedy_iqm": middle}


def interquartile_mean(values: Any) -> float:
    """The mean without the lowest and the highest quarter (arXiv:2108.13264, section 4.3)."""
    values = np.sort(np.asarray(values, np.float64))
    cut = len(values) // 4
    return float(values[cut : len(values) - cut].mean())


def means(totals: Metrics) -> dict[str, float]:
    """Sum / count of each metric; one that nothing was counted of is left out.

    So is a return in a window of steps in which no episode ended.
    """
    return {
        name: float(sums) / float(count)
        for name, (sums, count) in totals.items()
        if name != "examples" and float(count) > 0
    }


def _wide(mask: Array, array: Array) -> Array:
    """`mask` `[n]` with axes of length 1, so that it selects rows of `array` `[n, ...]`."""
    return mask.reshape(-1, *(1,) * (array.ndim - 1))
