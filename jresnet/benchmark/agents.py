"""Frames a second of an agent that plays and learns, beside the same agent as a loop of its own."""

import dataclasses
import functools
import importlib.util
from typing import Any

import jax
import numpy as np

from jresnet.benchmark.beside import Beside, Contestants
from jresnet.benchmark.jax_nets import learning
from jresnet.benchmark.timing import OURS, Mode
from jresnet.data.worlds.named import world_named
from jresnet.models import zoo
from jresnet.recipes.games import RECIPES

WIDTH, HIDDEN = 16, 128  # of the net of `experiments.games`
PEER = "plain_agents"


def ppo(game: str, mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """A round of PPO: `size` frames in all worlds, and all that is learnt from them.

    Recipe minutes of `experiments.games`, in as many worlds as give so many frames.
    """
    del mode, dtype
    recipe, world = RECIPES["minutes"], world_named(game)
    turns = min(recipe.turns, size)
    recipe = dataclasses.replace(
        recipe,
        worlds=size // turns,
        turns=turns,
        minibatches=min(recipe.minibatches, size),
        frames=size,
    )
    experiment = recipe.experiment(zoo.small_impala(world.actions, WIDTH, hidden=HIDDEN), world)
    batch = jax.device_put({"seed": np.arange(recipe.worlds, dtype=np.uint32)})
    steps = recipe.epochs * recipe.minibatches
    yield OURS, learning(experiment.task, batch, optimizer=experiment.optimizer, steps=steps)
    if theirs:
        net = theirs.PlainNet(world.actions, WIDTH, HIDDEN)
        yield theirs.NAME, theirs.agent(net, world, recipe)


def at_hand() -> str:
    """The case of MinAtar's Breakout, or where gymnax is not installed that of the rooms."""
    return "ppo_breakout" if importlib.util.find_spec("gymnax") else "ppo_rooms"


CASES = {
    f"ppo_{game}": Beside(
        functools.partial(ppo, game), PEER, 2048, 131_072, unit="frames", modes=("train",)
    )
    for game in ("breakout", "rooms")
}
