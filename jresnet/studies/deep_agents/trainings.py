"""Agents whose encoders differ in depth and in their shortcuts, and in nothing else."""

from jresnet.data.worlds.world import World
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.block import PREACTIVATION
from jresnet.models.encoders import Impala, same_max_pool
from jresnet.models.heads.policy import ActorCritic
from jresnet.models.norms import GroupNorm
from jresnet.models.part import part
from jresnet.models.zoo.agents import DEEP
from jresnet.recipes.games import GameRecipe

HIDDEN = 128


def encoder(blocks: int, width: int) -> Impala:
    """One stage at half the size, of so many blocks, each normalised before its activations.

    IMPALA's own blocks have no normalisation: their sums double in variance with every block, which
    two blocks can bear and dozens cannot. One group a layer is LayerNorm's choice of what is
    averaged; a batch's statistics would differ between playing and learning.
    """
    return Impala(
        depths=(blocks,),
        widths=(width,),
        pool=same_max_pool,
        order=PREACTIVATION,
        norm=part(GroupNorm, groups=1),
        scan=blocks > DEEP,
    )


def trainings(
    recipe: GameRecipe, world: World, depths: tuple[int, ...], width: int, seeds: int
) -> dict[str, Experiment]:
    """Experiments by the name KIND-BLOCKS-seedN, `plain` and `residual`."""
    runs = {}
    for kind in ("plain", "residual"):
        for blocks in depths:
            net = ActorCritic(encoder(blocks, width), world.actions, HIDDEN)
            model = zoo.plain(net) if kind == "plain" else net
            for seed in range(seeds):
                runs[f"{kind}-{blocks}-seed{seed}"] = recipe.experiment(model, world, seed)
    return runs
