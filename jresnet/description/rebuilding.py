"""Objects from their descriptions."""

import dataclasses
import importlib
import inspect
import types
from pathlib import Path
from typing import Any

import jax

from jresnet.description.functions import inner_function
from jresnet.description.renamed import current_name

# Where a description may take classes and functions from ...
_KNOWN = (
    "jresnet.models", "jresnet.data", "jresnet.tasks", "jresnet.weights.pair_pictures", "flax.linen",
    "jax.nn", "jax.numpy", "jax._src.nn", "jax._src.numpy", "optax",
)  # fmt: skip
# ... and functions that it may call, for the function that they return.
# Packages that things of known modules may come from, having been imported there.
_HOMES = ("jresnet", "experiments", "jax", "jaxlib", "flax", "optax")
_CALLED = ("jresnet.models", "jax._src.nn.initializers", "flax.linen.initializers")


class DescriptionError(ValueError):
    """A description that cannot be turned into the object. One line."""


# Where the functions of an optimizer come from beside optax.
_OPTIMIZERS = ("jresnet.train.optim", "jresnet.train.schedules")


def rebuild(description: Any) -> Any:
    """The object of a description. Raises DescriptionError, naming what cannot be made."""
    return _Builder(_KNOWN)(description)


def rebuild_optimizer(description: Any) -> Any:
    """An optimizer: tuples of functions that close over others, all of them optax's or ours.

    Raises DescriptionError, naming what cannot be made.
    """
    return _Builder((*_KNOWN, *_OPTIMIZERS), inner_functions=True)(description)


@dataclasses.dataclass(frozen=True)
class _Builder:
    known: tuple[str, ...]
    inner_functions: bool = False

    def __call__(self, description: Any) -> Any:
        if isinstance(description, list):
            return tuple(self(item) for item in description)
        if not isinstance(description, dict):
            return description
        match description:
            case {"float": text}:
                return float(text)
            case {"dtype": name}:
                return jax.numpy.dtype(name).type
            case {"struct": name, "shape": shape}:
                return jax.ShapeDtypeStruct(tuple(shape), jax.numpy.dtype(name))
            case {"dict": items}:
                return {self.key(key): self(item) for key, item in items.items()}
            case {"new": name, "fields": fields}:
                return self.instance(name, fields)
            case {"name": name, **rest} if "code" not in rest:
                return _find(name, self.known)
            case {"function": name, **rest} if ".<locals>." in name and "code" not in rest:
                return self.function(name, rest)
        keys = ("name", "function", "object")
        named = next((str(v) for k, v in description.items() if k in keys), "")
        raise DescriptionError(f"{named or description} cannot be made again from its description")

    def key(self, text: str) -> Any:
        """A dict's key: a number of a step, where only optimizers are described."""
        return int(text) if self.inner_functions and text.isdigit() else text

    def instance(self, name: str, fields: dict[str, Any]) -> Any:
        kind, paths = _find(name, self.known), set()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            types = {field.name: field.type for field in dataclasses.fields(kind) if field.init}
            names = set(types)
            # A description has a path's text.
            paths = {name for name, type_ in types.items() if type_ in (Path, Path | None)}
        elif self.inner_functions and isinstance(kind, type) and issubclass(kind, tuple):
            names = set(getattr(kind, "_fields", ()))
        else:
            raise DescriptionError(f"{name} is not a dataclass")
        values = {k: self(v) for k, v in fields.items() if k in names}
        values |= {k: Path(v) for k, v in values.items() if k in paths and isinstance(v, str)}
        return kind(**values)

    def function(self, name: str, rest: dict[str, Any]) -> Any:
        closure = {k: self(v) for k, v in rest.get("closure", {}).items()}
        if not self.inner_functions:
            # Made by another one, such as an initializer: by the same call.
            outer = _find(name.split(".<locals>.")[0], _CALLED)
            parameters = inspect.signature(outer).parameters
            return outer(**{k: v for k, v in closure.items() if k in parameters})
        _find(name.split(".<locals>.")[0], self.known)
        defaults = {k: self(v) for k, v in rest.get("defaults", {}).items()}
        try:
            return inner_function(name, closure, defaults)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DescriptionError(f"{name} cannot be made again ({error})") from error


def _find(name: str, allowed: tuple[str, ...]) -> Any:
    module, _, qualified = current_name(name).partition(":")
    if not any(module == known or module.startswith(f"{known}.") for known in allowed):
        raise DescriptionError(f"{name} is not part of {', '.join(allowed)}")
    try:
        target: Any = importlib.import_module(module)
        for part in qualified.split("."):
            target = getattr(target, part)
            # A module that was imported there leads to everything, `os.system` among it.
            if isinstance(target, types.ModuleType):
                raise DescriptionError(f"{name} is not of {module}: {part} is a module")
    except (ImportError, AttributeError) as error:
        raise DescriptionError(f"{name} is not there ({error})") from error
    home = getattr(target, "__module__", None)
    roots = {known.partition(".")[0] for known in (*allowed, *_HOMES)}
    if isinstance(home, str) and home.partition(".")[0] not in roots:
        raise DescriptionError(f"{name} is not of {module}: it comes from {home}")
    return target
