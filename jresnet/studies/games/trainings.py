"""The trainings of the study of agents, and their nets."""

from collections.abc import Mapping
from typing import Any, Literal

from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.heads.policy import Agent
from jresnet.recipes.games import RECIPES, GameRecipe, RecipeName
from jresnet.recipes.value_games import PQN_RECIPES, PQNRecipe

NetName = Literal["small", "impala", "nature"]
AgentName = Literal["ppo", "pqn"]


def build(
    name: NetName,
    actions: int,
    blocks: int | None = None,
    width: int | None = None,
    agent: AgentName = "ppo",
) -> Agent:
    """A net by name, with the head of the agent. Raises UsageError for fields it does not have."""
    chosen = {"blocks": blocks, "width": width}
    fields: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    head: dict[str, Any] = {} if agent == "ppo" else {"values": True, "norm": True}
    if name == "nature":
        for key, value in fields.items():
            raise UsageError(f"{key}={value}: expected none, net {name} has no choice")
        return zoo.nature_cnn(actions, **head)
    return (zoo.small_impala if name == "small" else zoo.impala)(actions, **fields, **head)


def recipe_of(agent: AgentName, name: RecipeName) -> GameRecipe | PQNRecipe:
    """The agent's recipe of that name."""
    return RECIPES[name] if agent == "ppo" else PQN_RECIPES[name]


def nets_of(name: NetName, net: Agent, plain: bool) -> dict[str, Agent]:
    """The net by its title, and its plain twin. Raises UsageError for a net that has none."""
    if not plain:
        return {name: net}
    if name == "nature":
        raise UsageError("plain=True: expected net small or impala, net nature has no shortcuts")
    return {name: net, f"plain {name}": zoo.plain(net)}


def trainings(
    recipe: GameRecipe | PQNRecipe, world: World, nets: Mapping[str, Agent], seeds: range
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN."""
    return {
        f"{name}-seed{seed}": recipe.experiment(net, world, seed)
        for name, net in nets.items()
        for seed in seeds
    }
