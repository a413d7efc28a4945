"""Flags made of a command's own and a zoo function's arguments."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from jresnet import ranges
from jresnet.trained import Net

Flags = TypeVar("Flags")


def parse(
    flags: type[Flags], command: str, net: Net, argv: Sequence[str], **defaults: Any
) -> tuple[Flags, dict[str, Any]]:
    """A command's flags and the arguments for `net.build`, parsed by tyro.

    `flags` is a keyword-only dataclass. `defaults` replace its defaults, or the zoo function's, by
    what depends on the net. A bad flag exits with status 2, `--help` with 0.
    """
    own = typing.get_type_hints(flags, include_extras=True)
    given = [
        (key, own[key], dataclasses.field(default=defaults[key])) for key in own if key in defaults
    ]
    fields = zoo_fields(net.build, defaults)
    combined = dataclasses.make_dataclass(net.name, [*given, *fields], bases=(flags,), kw_only=True)
    combined.__doc__ = inspect.getdoc(net.build)
    parsed = tyro.cli(combined, args=list(argv), prog=f"python -m jresnet {command}")
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
    ranges.check(values, {}, flags.__name__)
    return parsed, {key: getattr(parsed, key) for key, *_ in fields}


def zoo_fields(build: Callable[..., Any], defaults: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The arguments of a zoo function as fields of a dataclass."""
    hints, fields = typing.get_type_hints(build), []
    for key, parameter in inspect.signature(build).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        # The command line has no injected parts: of `str | Part` it takes the names.
        choices = [t for t in typing.get_args(hints[key]) if not inspect.isclass(t)]
        hint = choices[0] if choices and len(choices) == 1 else hints[key]
        default = defaults.get(key, parameter.default)
        hint = hint | None if default is None else hint
        fields.append((key, hint, dataclasses.field(default=default)))
    return fields
