"""Worlds by name."""

import importlib
from typing import Any

from jresnet.data.worlds.atari import AtariWorld
from jresnet.data.worlds.atari_emulator import rom_of
from jresnet.data.worlds.gymnasium_world import GymnasiumWorld
from jresnet.data.worlds.gymnax_world import GymnaxWorld
from jresnet.data.worlds.rooms import Rooms
from jresnet.data.worlds.world import World
from jresnet.errors import UsageError

MINATAR = {
    name.lower().replace("spaceinvaders", "space_invaders"): f"{name}-MinAtar"
    for name in ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
}


def world_named(name: str, sticky: float | None = None) -> World:
    """A world: a game of MinAtar, another of gymnax, `rooms`, Atari's, or one of the user's.

    `breakout` is "Breakout-MinAtar" of gymnax; `atari:Breakout` is the game of the console;
    `gymnasium:Maze-v0` one that gymnasium can make;
    `mygames:Maze` is `Maze()` in the module `mygames`.
    `sticky` is that of `AtariWorld`. Raises UsageError for a name that there is not, an object that
    is no world, and a `sticky` that a world does not have.
    """
    module, colon, attribute = name.partition(":")
    if module == "atari":
        return AtariWorld(rom_of(attribute), sticky or 0.0)
    if sticky is not None:
        raise UsageError(f"sticky={sticky}: expected none, game {name} is not of atari")
    if name == "rooms":
        return Rooms()
    if module == "gymnasium":
        return GymnasiumWorld(attribute)
    if not colon:
        return GymnaxWorld(MINATAR.get(name, name))
    try:
        built: Any = getattr(importlib.import_module(module), attribute)
        world = built() if isinstance(built, type) else built
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(f"game={name!r}: expected MODULE:NAME of a world ({error})") from error
    parts = ("actions", "shape", "begin", "act")
    if lacking := [part for part in parts if not hasattr(world, part)]:
        raise UsageError(f"game={name!r}: expected a World, it has no {', '.join(lacking)}")
    return world
