"""Are deeper agents better? Returns against the depth of the encoder, residual and plain.

    python -m experiments.deep_agents
    python -m experiments.deep_agents --depths 1 8 32 --frames 1000000 --seeds 3

He et al. 2015 (arXiv:1512.03385) asked this of classifiers. arXiv:2503.14858 asked it of agents with
MLPs, and saw gains to 1024 layers. The games of MinAtar need gymnax: pip install 'jresnet[games]'.
"""

import functools

from jresnet.data.worlds.named import world_named
from jresnet.experiment import Study
from jresnet.recipes.games import RECIPES
from jresnet.run.arguments import LearningRate
from jresnet.run.launch import launch
from jresnet.studies.deep_agents.report import conclude
from jresnet.studies.deep_agents.trainings import trainings
from jresnet.studies.games.report import Facts


def deep_agents(
    game: str = "breakout",
    depths: tuple[int, ...] = (1, 16),
    width: int = 8,
    frames: int = 32_768,
    learning_rate: LearningRate = 1e-3,
    seeds: int = 1,
) -> Study:
    """Agents by PPO whose encoders have more and more blocks, with shortcuts and without.

    One recipe for all, that of `experiments.games` for minutes. An encoder is a convolution, a pool
    and so many pre-activation blocks of two convolutions, normalised. From 9 blocks on all but the
    first are one scanned program, so that hundreds compile.

    Args:
        game: as in experiments.games.
        depths: residual blocks of each encoder.
        width: channels.
        frames: turns in all games together, of each training.
        seeds: repetitions.
    """
    recipe = RECIPES["minutes"].changed(frames=frames, learning_rate=learning_rate)
    runs = trainings(recipe, world_named(game), tuple(sorted(set(depths))), width, seeds)
    return Study(runs, functools.partial(conclude, Facts(game, frames, longest=recipe.longest)))


if __name__ == "__main__":
    launch(deep_agents)
