"""The trainings of the study of agents, and their nets."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.experiment import Experiment
from jresnet.models import zoo
from jresnet.models.encoders import same_max_pool
from jresnet.models.heads.policy import Agent
from jresnet.recipes.changes import with_changes
from jresnet.recipes.games import RECIPES, GameRecipe, RecipeName
from jresnet.recipes.value_games import (
    DQN_RECIPES,
    PQN_RECIPES,
    RAINBOW,
    DQNRecipe,
    PQNRecipe,
)
from jresnet.run.values import written

NetName = Literal["small", "pooled", "impala", "nature"]
AgentName = Literal["ppo", "pqn", "dqn", "rainbow"]
Recipe = GameRecipe | PQNRecipe | DQNRecipe
PICTURE = 64  # pixels of a side from which a net must make what is seen smaller
# Fields of a recipe that one of Rainbow's parts has.
NEEDED = {"n_steps": "steps", "support": "distributional", "atoms": "distributional"}


def build(
    name: NetName,
    actions: int,
    blocks: int | None = None,
    width: int | None = None,
    head: Mapping[str, Any] | None = None,
) -> Agent:
    """A net by name, with `head` (`head_of`). Raises UsageError for fields it does not have."""
    chosen = {"blocks": blocks, "width": width}
    fields: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    head = head or {}
    if name == "small":
        return zoo.small_impala(actions, **fields, **head)
    if name == "pooled":
        return zoo.small_impala(actions, pool=same_max_pool, **fields, **head)
    if name == "impala":
        return zoo.impala(actions, **fields, **head)
    for key, value in fields.items():
        raise UsageError(f"{key}={value}: expected none, net {name} has no choice")
    return zoo.nature_cnn(actions, **head)


def check_view(name: NetName, shape: tuple[int, int, int]) -> None:
    """Raise UsageError for a net that ends at the size of a board where pictures are seen.

    Its dense layer would have 14.4 million weights after 84x84 pixels.

    Args:
        name: of the net.
        shape: of what is seen, `(H, W, channels)`.
    """
    height, width = shape[:2]
    if name in ("small", "pooled") and max(height, width) >= PICTURE:
        raise UsageError(
            f"net={name}: expected nature or impala, the game is seen at {height} x {width} pixels"
        )


def head_of(recipe: Recipe) -> dict[str, Any]:
    """Fields of a net that the recipe's agent needs."""
    if isinstance(recipe, GameRecipe):
        return {}
    if isinstance(recipe, PQNRecipe):
        return {"values": True, "norm": True}
    atoms = recipe.atoms if "distributional" in recipe.parts else None
    return {"values": True, "atoms": atoms} | {
        name: name in recipe.parts for name in ("dueling", "noisy")
    }


def recipe_of(agent: AgentName, name: RecipeName, changes: Mapping[str, Any]) -> Recipe:
    """The agent's recipe of that name, with other fields; those that are None stay.

    Raises UsageError for a field that this agent does not have, or of a part that it is without.
    """
    tables: dict[str, Mapping[RecipeName, Recipe]] = {"ppo": RECIPES, "pqn": PQN_RECIPES}
    table = tables.get(agent, DQN_RECIPES)
    if name not in table:
        raise UsageError(
            f"recipe={name!r}: expected {' or '.join(table)}, agent {agent} has no other"
        )
    recipe = table[name]
    known = {field.name for field in dataclasses.fields(recipe)}
    for field, value in changes.items():
        if value is not None and field not in known:
            raise UsageError(f"{field}={value}: expected none, agent {agent} has no such choice")
    chosen = with_changes(recipe, {name: changes[name] for name in changes if name in known})
    if agent == "rainbow" and changes.get("parts") is None:
        chosen = with_changes(chosen, {"parts": RAINBOW})
    for field, part in NEEDED.items():
        if changes.get(field) is not None and part not in getattr(chosen, "parts", ()):
            value = written(changes[field])
            raise UsageError(f"{field}={value}: expected none, parts have no {part}")
    return chosen


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
    recipe: Recipe, world: World, nets: Mapping[str, Agent], seeds: range
) -> dict[str, Experiment]:
    """Experiments by the name NET-seedN."""
    return {
        f"{name}-seed{seed}": recipe.experiment(net, world, seed)
        for name, net in nets.items()
        for seed in seeds
    }
