"""The nets of the zoo by name, and flags made of a command's own and a zoo function's arguments."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import tyro

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.published import cards

Flags = TypeVar("Flags")


class Net(NamedTuple):
    """A zoo function, and the image of its published card: `[*spatial, channels]`."""

    name: str
    build: Callable[..., Any]
    image: tuple[int, ...]


def zoo_functions() -> dict[str, Callable[..., Any]]:
    """Public functions of the zoo that build a published net, by name."""
    return {
        name: value
        for name, value in vars(zoo).items()
        if inspect.isfunction(value) and cards(value)
    }


def find_net(name: str | None) -> Net:
    """The net called `name`. Raises UsageError with all names if there is none."""
    functions = zoo_functions()
    if name not in functions:
        given = "missing" if name is None else repr(name)
        raise UsageError(f"net {given}: take one of {', '.join(functions)}")
    return Net(name, functions[name], cards(functions[name])[-1].image)


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
