"""Agents that play by what they see, with a residual encoder and its plain twin.

    python -m experiments.games
    python -m experiments.games --game space_invaders --plain --seeds 3
    python -m experiments.games --game mygames:Maze --net impala
    python -m experiments.games --agent pqn

The games of MinAtar need gymnax: pip install 'jresnet[games]'.
"""

import functools

from jresnet.data.worlds.named import world_named
from jresnet.experiment import Study
from jresnet.recipes.games import RecipeName
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.games.report import Facts, conclude
from jresnet.studies.games.trainings import AgentName, NetName, build, nets_of, recipe_of, trainings


def games(
    game: str = "breakout",
    agent: AgentName = "ppo",
    recipe: RecipeName = "minutes",
    net: NetName = "small",
    blocks: int | None = None,
    width: int | None = None,
    plain: bool = False,
    frames: int | None = None,
    worlds: int | None = None,
    turns: int | None = None,
    learning_rate: float | None = None,
    entropy: float | None = None,
    episodes: int | None = None,
    seeds: int = 1,
    seed: Seed = 0,
) -> Study:
    """Agents trained on games on the device.

    Many games are played at once, each device its share of them. An update learns from one
    minibatch of what was played; a time limit is not taken for the end of a game. The state of the
    games is part of a checkpoint, so that a run goes on to the bit.

    ppo: proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347).

    pqn: values of actions by Q(lambda) and LayerNorm, without replay (Gallici et al. 2024,
    arXiv:2407.04811); RAdam from 5e-4, a tenth of the training with random actions.

    minutes: 262,144 frames in 64 games at once, PPO's Adam from 1e-3, for two CPU cores.

    minatar: 20 million frames in 1,024 games at once for PPO, 10 million in 128 for PQN, for an
    accelerator. It has not been run here.

    Args:
        game: breakout, space_invaders, asterix, freeway or seaquest of MinAtar, another one that
            gymnax has, or MODULE:NAME of a world of your own (jresnet.data.worlds.world).
        agent: which of ppo and pqn.
        recipe: which of minutes and minatar.
        net: one residual stage at full size, IMPALA's encoder, or the DQN paper's for 84x84 images.
        blocks: residual blocks a stage, by default 1 of net small and 2 of IMPALA's; hundreds are
            scanned.
        width: channels of net small, by default 16; factor of IMPALA's channels.
        plain: also train the plain twin.
        frames: turns in all games together instead of the recipe's.
        worlds: games at once instead of the recipe's; a multiple of the devices.
        turns: in each game between two rounds of learning instead of the recipe's.
        learning_rate: first rate instead of the recipe's.
        entropy: weight of the policy's entropy instead of the recipe's; of PPO alone.
        episodes: of an evaluation instead of the recipe's; a multiple of the devices.
        seeds: repetitions.
    """
    chosen = recipe_of(agent, recipe).changed(
        frames=frames, worlds=worlds, turns=turns, learning_rate=learning_rate, entropy=entropy,
        episodes=episodes,
    )  # fmt: skip
    world = world_named(game)
    nets = nets_of(net, build(net, world.actions, blocks, width, agent), plain)
    runs = trainings(chosen, world, nets, range(seed, seed + seeds))
    return Study(runs, functools.partial(conclude, Facts(game, chosen.frames)))


if __name__ == "__main__":
    launch(games)
