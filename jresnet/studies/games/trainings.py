"""The trainings of the study of agents, and their nets."""

from collections.abc import Mapping
from typing import Any, Literal

from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.encoders import same_max_pool
from jresnet.models.heads.policy import Agent
from jresnet.recipes.games import GameRecipe

NetName = Literal["small", "pooled", "impala", "nature"]


def build(
    name: NetName, actions: int, blocks: int | None = None, width: int | None = None
) -> Agent:
    """A net by name. Raises UsageError for fields that it does not have."""
    chosen = {"blocks": blocks, "width": width}
    fields: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    if name == "small":
        return zoo.small_impala(actions, **fields)
    if name == "pooled":
        return zoo.small_impala(actions, pool=same_max_pool, **fields)
    if name == "impala":
        return zoo.impala(actions, **fields)
    for key, value in fields.items():
        raise UsageError(f"{key}={value}: expected none, net {name} has no choice")
    return zoo.nature_cnn(actions)


def nets_of(name: NetName, net: Agent, plain: bool) -> dict[str, Agent]:
    """The net by its title, and its plain twin. Raises UsageError for a net that has none."""
    if not plain:
        return {name: net}
    if name == "nature":
        raise UsageError(
            "plain=True: expected net small, pooled or impala, net nature has no shortcuts"
        )
    return {name: net, f"plain {name}": zoo.plain(net)}


def trainings(
    recipe: GameRecipe, world: World, nets: Mapping[str, Agent], seeds: range
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN."""
    return {
        f"{name}-seed{seed}": recipe.experiment(net, world, seed)
        for name, net in nets.items()
        for seed in seeds
    }
