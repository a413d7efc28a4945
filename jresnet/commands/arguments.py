"""Flags made of a command's own and a zoo function's arguments."""

import dataclasses
import inspect
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeVar

import tyro

from jresnet.models import zoo
from jresnet.run import ranges
from jresnet.weights.nets import Net

Flags = TypeVar("Flags")
Stem = Annotated[
    Literal["published", "small"],
    tyro.conf.arg(
        help="Small: a 3x3 convolution and no pool, for images of about 32 pixels; "
        "their size is then --resize 32 --crop 32, or --image 32 32 3."
    ),
]


def parse(
    flags: type[Flags], command: str, net: Net, argv: Sequence[str], **defaults: Any
) -> tuple[Flags, dict[str, Any]]:
    """A command's flags and the arguments for `net.build`, parsed by tyro.

    `flags` is a keyword-only dataclass. `defaults` replace its defaults, or the zoo function's, by
    what depends on the net. A bad flag exits with status 2, `--help` with 0.
    """
    hints = typing.get_type_hints(flags, include_extras=True)
    replaced = [
        (key, hints[key], dataclasses.field(default=defaults[key]))
        for key in hints
        if key in defaults
    ]
    fields = zoo_fields(net, defaults)
    combined = dataclasses.make_dataclass(
        net.name, [*replaced, *fields], bases=(flags,), kw_only=True
    )
    combined.__doc__ = inspect.getdoc(net.build)
    parsed = tyro.cli(combined, args=list(argv), prog=f"python -m jresnet {command}")
    values = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
    ranges.check(values, {}, flags.__name__)
    arguments = {key: getattr(parsed, key) for key, *_ in fields}
    if arguments.pop("stem", "published") == "small":
        arguments["stem"] = zoo.SMALL_STEM
    return parsed, arguments


def zoo_fields(net: Net, defaults: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The arguments of a zoo function as fields of a dataclass."""
    hints, fields = typing.get_type_hints(net.build), []
    parameters = inspect.signature(net.build).parameters
    if _has_choice_of_stem(net, parameters.values()):
        fields.append(("stem", Stem, dataclasses.field(default="published")))
    for key, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        # The command line has no injected parts: of `str | Part` it takes the names.
        choices = [t for t in typing.get_args(hints[key]) if not inspect.isclass(t)]
        hint = choices[0] if choices and len(choices) == 1 else hints[key]
        default = defaults.get(key, parameter.default)
        hint = hint | None if default is None else hint
        fields.append((key, hint, dataclasses.field(default=default)))
    return fields


def _has_choice_of_stem(net: Net, parameters: Iterable[inspect.Parameter]) -> bool:
    """Whether it is a net for pictures larger than CIFAR's, whose backbone takes other parts."""
    injected = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return injected and len(net.image) == 3 and min(net.image[:2]) > 32
