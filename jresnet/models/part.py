"""A layer with some of its fields set, to be injected into blocks and nets."""

import dataclasses
from collections.abc import Callable
from typing import Any

from flax import linen as nn


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer class and fields: `part(Projection, bare=True)` builds `Projection(bare=True, ...)`.

    Does what `functools.partial` does, but equal parts compare equal, so that equal nets do.
    `fields` are sorted pairs of a name and its value.
    """

    layer: Callable[..., Any]
    fields: tuple[tuple[str, Any], ...] = ()

    def __call__(self, *args: Any, **fields: Any) -> Any:
        return self.layer(*args, **dict(self.fields) | fields)


def part(layer: Callable[..., Any], /, **fields: Any) -> Part:
    """`part(BatchNorm, group=32)`: builds `BatchNorm(group=32, ...)` wherever a norm is built."""
    return Part(layer, tuple(sorted(fields.items())))


def is_module(layer: Any) -> bool:
    """Whether calling `layer` builds a module: it is a module class, or a part of one."""
    layer = layer.layer if isinstance(layer, Part) else layer
    return isinstance(layer, type) and issubclass(layer, nn.Module)
