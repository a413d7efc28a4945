"""Worlds by name."""

from typing import Any

from jresnet.data.worlds import names
from jresnet.data.worlds.atari import AtariWorld
from jresnet.data.worlds.atari_emulator import rom_of
from jresnet.data.worlds.gymnasium_world import GymnasiumWorld
from jresnet.data.worlds.gymnax_world import GymnaxWorld
from jresnet.data.worlds.rooms import Rooms
from jresnet.data.worlds.world import World
from jresnet.errors import UsageError
from jresnet.extras import library

MADE_BY = {"atari": "Pong", "gymnasium": "CarRacing-v3"}  # and a name after the colon


def world_named(name: str, sticky: float | None = None) -> World:
    """A world: a game of MinAtar, another of gymnax, `rooms`, Atari's, or one of the user's.

    `breakout` is "Breakout-MinAtar" of gymnax; `atari:Breakout` is the game of the console;
    `gymnasium:Maze-v0` one that gymnasium can make;
    `mygames:Maze` is `Maze()` in the module `mygames`, a World or an environment of gymnax.
    Case, and signs between words, do not matter in names of MinAtar, gymnax, Atari and `rooms`.
    `sticky` is that of `AtariWorld`. Raises UsageError for a name that there is not, an object that
    is no world, and a `sticky` that a world does not have.
    """
    module, colon, attribute = name.partition(":")
    if module in MADE_BY and not attribute:
        raise UsageError(
            f"game={name!r}: expected {module}:NAME, such as {module}:{MADE_BY[module]}"
        )
    if module == "atari":
        return AtariWorld(rom_of(attribute), sticky or 0.0)
    if sticky is not None:
        raise UsageError(f"sticky={sticky}: expected none, game {name} is not of atari")
    if module == "gymnasium":
        return GymnasiumWorld(attribute)
    if colon:
        return _users(name)
    if names.letters(name) == "rooms":
        return Rooms()
    return GymnaxWorld(_in_gymnax(name))


def _in_gymnax(name: str) -> str:
    """The name that gymnax has. Raises UsageError, with near names of all games."""
    known = {names.letters(each): each for each in library("gymnax", "games").registered_envs}
    known |= {names.letters(short): each for short, each in names.minatar().items()}
    if full := known.get(names.letters(name)):
        return full
    examples = ", ".join(names.near(name, names.games()) or names.EXAMPLES)
    raise UsageError(f"game={name!r}: expected the name of a game, such as {examples}")


def _users(name: str) -> World:
    built = names.imported(name)
    if names.is_gymnax(built):
        return GymnaxWorld(name)
    world: Any = names.instance(name, built)
    parts = ("actions", "shape", "begin", "act")
    if lacking := [part for part in parts if not hasattr(world, part)]:
        raise UsageError(f"game={name!r}: expected a World, it has no {', '.join(lacking)}")
    return world
