"""Agents of finished runs at play, and one that takes any action."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jresnet.data.worlds.episodes import TEST
from jresnet.data.worlds.named import world_named
from jresnet.data.worlds.world import World, action_names
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models.headed import unrolled
from jresnet.models.heads.policy import ActionValues
from jresnet.report.html import Figure, Text
from jresnet.runtime.callbacks import usage_errors
from jresnet.studies.conclusion import picture
from jresnet.studies.games import people
from jresnet.tasks.play import LONGEST, episodes
from jresnet.tasks.watch import WATCHED, watch
from jresnet.weights.recorded import read_recorded
from jresnet.weights.run import read_variables

RANDOM_EPISODES = 128
EMULATED = 4, 100  # random episodes in a world that is slow, and turns of each at most
CAPTION = (
    "Moments of an episode of the evaluation, played by {net} {way}: the game; in red where the "
    "{slope} of its action moves most with what is seen (the gradient's absolute value, "
    "arXiv:1312.6034); the {score} of every action, that of the one it took in colour. Below the "
    "return so far, and what the agent held the state to be worth."
)


class Chance(NamedTuple):
    """The mean return of an agent that takes every action as likely, and how it is known.

    - title: of a table's line.
    - note: a sentence for the table's caption, or nothing.
    """

    mean: float
    title: str = "random actions"
    note: str = ""


def random_return(game: str, longest: int = LONGEST, sticky: float | None = None) -> Chance:
    """By the published table for an Atari game that is in it, and played here for any other.

    An episode is cut off after `longest` turns. A world that is `emulated` is slow, and is played
    for some hundreds of turns alone. `sticky` is that of `AtariWorld`; the table is without.
    """
    world = world_named(game, sticky)
    rom = rom_in_table(world)
    if rom is not None:
        note = f" The return of random actions is the published one ({people.SOURCE})."
        return Chance(people.SCORES[rom][0], "random, published", note)
    count, chance = RANDOM_EPISODES, Chance(0.0)
    if getattr(world, "emulated", False):
        count, longest = EMULATED[0], min(longest, EMULATED[1])
        note = f" Random actions played {count} episodes of at most {longest} turns."
        chance = Chance(0.0, "random, cut off", note)

    def choose(keys: Any, seen: Any) -> Any:
        del seen
        return jax.vmap(lambda key: jax.random.randint(key, (), 0, world.actions))(keys)

    seeds = jnp.arange(TEST, TEST + count, dtype=jnp.uint32)
    with usage_errors():
        returns, _ = jax.jit(lambda seeds: episodes(world, choose, seeds, longest))(seeds)
        return chance._replace(mean=float(returns.mean()))


def rom_in_table(world: World) -> str | None:
    """The ROM of an Atari game that a person's score is known of."""
    rom = getattr(world, "rom", None)
    return rom if rom in people.SCORES else None


def episode_strip(net: str, results: Sequence[Result], path: Any) -> Figure | Text:
    """The first episode of the evaluation, by the run with the highest return. Policies are played in
    the way that did better: some that take the likeliest action turn to and fro for ever. Agents
    that learn values play greedily.

    A run whose task cannot be made again from its record, such as one in a world of the user's own,
    is not shown, and the text says why.
    """
    best = max(results, key=lambda result: max(_returns(result)))
    greedy, sampled = _returns(best)
    likeliest = greedy >= sampled
    try:
        recorded = read_recorded(best.folder)
        if recorded is None:
            raise UsageError(f"{best.folder.name!r} has no record")
        task = recorded.task()
    except UsageError as error:
        return Text((f"No episode of {net} is shown: {error}.",))
    variables = read_variables(best.folder / "checkpoints")
    task = dataclasses.replace(task, model=unrolled(task.model))
    likeliest = likeliest or isinstance(task.model, ActionValues)
    with usage_errors():
        episode = watch(task, variables, TEST, min(task.longest, WATCHED), greedy=likeliest)
    score = "probability" if episode.policy else "value"
    way = "greedily" if likeliest else "by sampling"
    slope = "logit" if episode.policy else "value"
    words = CAPTION.format(net=net, way=way, score=score, slope=slope)
    alt = f"An episode of {len(episode.reward)} turns, return {episode.reward.sum():g}"
    return picture(episode.strip(action_names(task.world)), path, words, alt)


def _returns(result: Result) -> tuple[float, float]:
    """The return of the likeliest actions, and of those drawn from the policy."""
    metrics = result.metrics["test"]
    return metrics["greedy_return"], metrics["sampled_return"]
