"""The state dict in what a training script saved."""

import logging
from typing import Any

from jresnet.weights.inert import Global, Inert, RefusedError
from jresnet.weights.pickled_arrays import Array
from jresnet.weights.prefixes import AVERAGES, KEYS, TEACHERS
from jresnet.weights.tensors import Tensor

log = logging.getLogger(__name__)

LEAVES = ("weight", "bias", "running_mean", "running_var")
NESTED = 4


def find_state_dict(content: Any) -> dict[str, Tensor | Array]:
    """The tensors by name. Raises RefusedError, saying what there is instead, if there are none.

    An average that the script kept beside the trained weights is taken in their place, as timm and
    DINO do, and a warning says so. What stands beside the tensors in a state dict is left out, but
    not a stand-in under the name of a weight.
    """
    for _ in range(NESTED):
        inner = _inner(content)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict):
        hint = "; save a module's state_dict() instead" if isinstance(content, Inert) else ""
        raise RefusedError(f"holds no state dict: it is {_described(content)}{hint}")
    state = {}
    for name, value in content.items():
        if isinstance(value, Tensor) or (isinstance(value, Array) and value.value is not None):
            state[str(name)] = value
        elif isinstance(name, str) and name.rpartition(".")[2] in LEAVES:
            raise RefusedError(f"its {name!r} is no tensor: it is {_described(value)}")
    if not state:
        entries = ", ".join(f"{name!r} is {_described(v)}" for name, v in _first(content))
        raise RefusedError(
            f"holds no state dict, a mapping of names to tensors: {entries or 'it is empty'}"
        )
    return state


def _inner(content: Any) -> dict[Any, Any] | None:
    """The dict under one of the keys that scripts use."""
    if not isinstance(content, dict):
        return None
    for key in (*AVERAGES, *KEYS, *TEACHERS):
        if isinstance(content.get(key), dict):
            if user := (AVERAGES | TEACHERS).get(key):
                log.warning("the checkpoint's average is taken: its %r, as %s does", key, user)
            return content[key]
    return None


def _first(content: dict[Any, Any]) -> list[tuple[str, Any]]:
    items = list(content.items())[:8]
    return [(str(name)[:40] if isinstance(name, (str, int)) else "...", v) for name, v in items]


def _described(value: Any) -> str:
    if isinstance(value, Inert):
        return f"what {value.name} makes, which is not called"
    if isinstance(value, Global):
        return f"the name of {value.name}"
    if isinstance(value, Array):
        return "a numpy array that is no block of numbers"
    if isinstance(value, Tensor):
        return "a tensor"
    return f"of type {type(value).__name__}"
