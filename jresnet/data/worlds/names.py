"""Names of games: what a name stands for, and names that are near one that there is not."""

import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from typing import Any

from jresnet.errors import UsageError

EXAMPLES = ("breakout", "rooms", "atari:pong")
# The parts of an environment of gymnax 1.0 that are called.
GYMNAX = ("step_env", "reset_env", "is_truncated", "action_space", "default_params")


def letters(name: str) -> str:
    """A name without case, and without signs between its letters and numbers."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def near(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """At most so many of the known names that are like `name`, the nearest first, never itself.

    Names are compared without case and signs, by the word before "-v5", "-MinAtar" and the like.
    """
    scored = []
    for each in known:
        word = difflib.SequenceMatcher(None, _word(name), _word(each)).ratio()
        if each != name and word >= 0.6:
            whole = difflib.SequenceMatcher(None, letters(name), letters(each)).ratio()
            scored.append((-word, -whole, each))
    return [each for *_, each in sorted(scored)[:count]]


def _word(name: str) -> str:
    return letters(re.split(r"[:/]", name)[-1].partition("-")[0])


def games() -> list[str]:
    """Names of all games at hand, those of libraries that are installed among them."""
    known = ["rooms"]
    if importlib.util.find_spec("gymnax"):
        known += minatar()
        known += importlib.import_module("gymnax").registered_envs
    if importlib.util.find_spec("ale_py"):
        roms = importlib.import_module("ale_py.roms").get_all_rom_ids()
        known += [f"atari:{rom}" for rom in roms]
    if importlib.util.find_spec("gymnasium"):
        known += [f"gymnasium:{name}" for name in registered()]
    return known


def registered() -> list[str]:
    """Names that gymnasium knows, without the games of Atari, which `atari:` has."""
    registry = importlib.import_module("gymnasium").registry
    return [
        name for name, spec in registry.items() if not str(spec.entry_point).startswith("ale_py")
    ]


def minatar() -> dict[str, str]:
    """The names of gymnax of MinAtar's games, by our own: space_invaders and so on."""
    games = ("Asterix", "Breakout", "Freeway", "Seaquest", "SpaceInvaders")
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): f"{name}-MinAtar" for name in games}


def imported(name: str) -> Any:
    """The object MODULE:NAME. Raises UsageError if there is none, or if gymnasium is to make it."""
    module, _, attribute = name.partition(":")
    try:
        built: Any = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(f"game={name!r}: expected MODULE:NAME of a world ({error})") from error
    gymnasium = sys.modules.get("gymnasium")
    kind = built if isinstance(built, type) else type(built)
    if gymnasium is not None and issubclass(kind, gymnasium.Env):
        raise UsageError(
            f"game={name!r}: expected a World; an environment of gymnasium is registered in its "
            f"module, and is then game gymnasium:{module}:NAME-v0"
        )
    return built


def is_gymnax(built: Any) -> bool:
    """Whether an object, or what a class makes, is played as gymnax plays its environments."""
    return hasattr(built, "step_env") and hasattr(built, "reset_env")


def instance(name: str, built: Any) -> Any:
    """An instance of a class; another object as it is. Raises UsageError for a class that fails."""
    try:
        return built() if isinstance(built, type) else built
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(f"game={name!r}: expected MODULE:NAME of a world ({error})") from error


def gymnax_environment(name: str) -> Any:
    """The environment MODULE:NAME of gymnax 1.0. Raises UsageError for another object."""
    built = imported(name)
    # Before a class is called: a run's record, which names it, may be anybody's.
    if lacking := [part for part in GYMNAX if not hasattr(built, part)]:
        raise UsageError(
            f"game={name!r}: expected an environment of gymnax 1.0, it has no {', '.join(lacking)}"
        )
    return instance(name, built)
