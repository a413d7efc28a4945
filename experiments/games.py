"""Agents that play by what they see, with a residual encoder and its plain twin.

    python -m experiments.games
    python -m experiments.games --game space_invaders --plain --seeds 3
    python -m experiments.games --game rooms --net pooled --plain
    python -m experiments.games --game mygames:Maze --net impala
    python -m experiments.games --agent pqn
    python -m experiments.games --game atari:Breakout --agent pqn --recipe atari --net nature
    python -m experiments.games --game atari:Pong --recipe atari --net impala

The games of MinAtar need gymnax: pip install 'jresnet[games]'. Those of Atari need ale-py:
pip install 'jresnet[atari]'. In `rooms` an agent finds its way by what it sees; a return is there
whether it got to the goal.
"""

import functools

from jresnet.data.worlds.named import world_named
from jresnet.experiment import Study
from jresnet.recipes.games import RecipeName
from jresnet.recipes.value_games import Part
from jresnet.run.arguments import Seed
from jresnet.run.launch import launch
from jresnet.studies.games.report import Facts, conclude
from jresnet.studies.games.trainings import (
    AgentName,
    NetName,
    build,
    check_view,
    head_of,
    nets_of,
    recipe_of,
    trainings,
)


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
    parts: tuple[Part, ...] | None = None,
    replay: int | None = None,
    first: int | None = None,
    n_steps: int | None = None,
    support: tuple[float, ...] = (),
    atoms: int | None = None,
    longest: int | None = None,
    sticky: float | None = None,
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

    dqn: values of actions from a replay memory and a target net (Mnih et al. 2015), with the parts
    of Rainbow (Hessel et al. 2017, arXiv:1710.02298) that `parts` names.

    rainbow: dqn with all of them.

    minutes: for two CPU cores; 196,608 frames in 64 games at once and Adam from 1e-3 for PPO,
    262,144 frames in 64 for PQN, 131,072 in 16 and Adam at 5e-4 for DQN.

    minatar: 20 million frames in 4,096 games at once by pgx's settings for PPO, 10 million in 128
    for PQN, 5 million in 8 for DQN, for an accelerator. It has not been run here.

    atari: 10 million turns of four frames with the papers' settings, and not run here to its end.
    PPO has the epochs and weights of openai/baselines, and its clip does not fall with the rate.

    Args:
        game: breakout, space_invaders, asterix, freeway or seaquest of MinAtar, another one that
            gymnax has, rooms, atari:Pong or another Atari game (net nature or impala),
            gymnasium:NAME, or MODULE:NAME of a world of your own (jresnet.data.worlds.world).
        agent: which of ppo, pqn, dqn and rainbow.
        recipe: which of minutes, minatar and atari.
        net: one residual stage at full size (small) or half the size (pooled), IMPALA's encoder, or
            the DQN paper's for 84x84 images; from 64 pixels on impala or nature.
        blocks: residual blocks a stage, by default 1, and 2 of IMPALA's; hundreds are scanned.
        width: channels of nets small and pooled, by default 16; factor of IMPALA's channels.
        plain: also train the plain twin.
        frames: turns in all games together instead of the recipe's.
        worlds: games at once instead of the recipe's; a multiple of the devices.
        turns: in each game between two rounds of learning instead of the recipe's.
        learning_rate: first rate instead of the recipe's.
        entropy: weight of the policy's entropy instead of the recipe's; of PPO alone.
        parts: of Rainbow, for dqn and rainbow: double Q-learning, a duelling head, steps (sums of
            rewards), a prioritised replay, a distributional head, noisy layers.
        replay: turns that dqn and rainbow keep instead of the recipe's.
        first: of them played at random before anything is learnt, instead of the recipe's.
        n_steps: rewards that the part steps adds up, by default 3.
        support: least and largest value that the distributional head can tell, by default -10 and
            10, and -10 and 30 in recipe minatar. With a discount of 0.99 a reward of 1 every n
            turns is worth about 100/n: more than 10 if it comes more often than every tenth turn.
            A value beyond is taken for the bound.
        atoms: values that the distributional head tells, the bounds among them, by default 51.
        longest: turns after which an episode of an evaluation is cut off, instead of the recipe's.
        sticky: chance that a frame of an Atari game repeats the action before, by default 0.
        episodes: of an evaluation instead of the recipe's.
        seeds: repetitions.
    """
    changes = {
        "frames": frames, "worlds": worlds, "turns": turns, "learning_rate": learning_rate,
        "entropy": entropy, "episodes": episodes, "parts": parts, "replay": replay,
        "longest": longest, "first": first, "n_steps": n_steps, "support": support or None,
        "atoms": atoms,
    }  # fmt: skip
    chosen = recipe_of(agent, recipe, changes)
    world = world_named(game, sticky)
    check_view(net, world.shape)
    nets = nets_of(net, build(net, world.actions, blocks, width, head_of(chosen)), plain)
    runs = trainings(chosen, world, nets, range(seed, seed + seeds))
    return Study(
        runs, functools.partial(conclude, Facts(game, chosen.frames, sticky, chosen.longest))
    )


if __name__ == "__main__":
    launch(games)
