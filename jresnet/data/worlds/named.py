"""Worlds by name."""

import importlib
from typing import Any

from jresnet.data.worlds.gymnax_world import GymnaxWorld
from jresnet.data.worlds.rooms import Rooms
from jresnet.data.worlds.world import World
from jresnet.errors import UsageError

MINATAR = {
    name.lower().replace("spaceinvaders", "space_invaders"): f"{name}-MinAtar"
    for name in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
}


def world_named(name: str) -> World:
    """A world: a game of MinAtar, another of gymnax, `rooms`, or one of the user's.

    `breakout` is "Breakout-MinAtar" of gymnax; `mygames:Maze` is `Maze()` in the module `mygames`.
    Raises UsageError for a name that there is not, or an object that is no world.
    """
    module, colon, attribute = name.partition(":")
    if name == "rooms":
        return Rooms()
    if not colon:
        return GymnaxWorld(MINATAR.get(name, name))
    try:
        built: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"game={name!r}: expected MODULE:NAME of a world ({error})") from error
    world = built() if isinstance(built, type) else built
    parts = ("actions", "shape", "begin", "act")
    if lacking := [part for part in parts if not hasattr(world, part)]:
        raise UsageError(f"game={name!r}: expected a World, it has no {', '.join(lacking)}")
    return world
