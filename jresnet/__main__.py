"""`python -m jresnet list | summary NAME | doctor`."""

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from jresnet.errors import UsageError


def list_nets() -> int:
    """The nets of the zoo: arguments, parameters, 1e9 multiply-accumulates an image, paper."""
    from jresnet.models.published import cards
    from jresnet.report.text import format_table

    rows = []
    for name, build in zoo_functions().items():
        for card in cards(build):
            arguments = ", ".join(f"{key}={value!r}" for key, value in card.arguments)
            gmacs = None if card.gmacs is None else f"{card.gmacs:.4g}"
            image = "x".join(map(str, card.image))
            net = f"{name}({arguments})"
            rows.append((net, f"{card.parameters:,}", gmacs, image, card.paper))
    print(format_table(("net", "parameters", "GMAC", "image", "paper"), rows))
    return 0


def summary(argv: Sequence[str]) -> int:
    """Parameters, multiply-accumulates and feature shapes of one net, from its own arguments.

    `summary cifar_resnet --depth 110 --image 32 32 3`
    """
    from jresnet.models.published import cards, count_macs, count_parameters
    from jresnet.report.text import format_table

    functions = zoo_functions()
    if not argv or argv[0] not in functions:
        given = repr(argv[0]) if argv else "missing"
        raise UsageError(f"net {given}: take one of {', '.join(functions)}")
    name, build = argv[0], functions[argv[0]]
    image, arguments = zoo_arguments(name, build, argv[1:], cards(build)[-1].image)
    try:
        model = build(**arguments)
        parameters, macs = count_parameters(model, image), count_macs(model, image)
    except ValueError as error:
        raise UsageError(str(error)) from error
    size = "x".join(map(str, image))
    print(f"{name}: {parameters:,} parameters, {macs / 1e9:.3f} GMAC for an image of {size}")
    published = {card.parameters: card.paper for card in cards(build)}
    print(published.get(parameters, cards(build)[0].paper))
    shapes = feature_shapes(model, image)
    print(format_table(("features", "shape", "parameters"), shapes))
    return 0


def feature_shapes(model: Any, image: tuple[int, ...]) -> list[tuple[str, str, str]]:
    """(name, shape, parameters) of the stem, each stage and the head, for one image."""
    import math

    import jax
    import jax.numpy as jnp

    from jresnet.models.published import abstract_variables

    variables = abstract_variables(model, image)
    features = jax.eval_shape(
        lambda v, x: model.apply(v, x, train=False, method="features"),
        variables,
        jax.ShapeDtypeStruct((1, *image), jnp.float32),
    )

    def count(tree: Any) -> str:
        return f"{sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree)):,}"

    params = variables["params"]
    rows = [
        (name, "x".join(map(str, x.shape[1:])), count(params["backbone"].get(name, {})))
        # Functions traced by jax return their dicts sorted; the stem comes first.
        for name, x in sorted(features.items(), key=lambda item: item[0] != "stem")
    ]
    return [*rows, ("head", str(model.num_classes), count(params["head"]))]


def zoo_functions() -> dict[str, Callable[..., Any]]:
    """Public functions of the zoo that build a published net, by name."""
    from jresnet.models import zoo
    from jresnet.models.published import cards

    return {
        name: value
        for name, value in vars(zoo).items()
        if inspect.isfunction(value) and cards(value)
    }


def zoo_arguments(
    name: str, build: Callable[..., Any], argv: Sequence[str], image: tuple[int, ...]
) -> tuple[tuple[int, ...], dict[str, Any]]:
    """`--image` and the function's own arguments, parsed by tyro."""
    import dataclasses
    import typing

    hints = typing.get_type_hints(build)
    fields: list[Any] = [("image", tuple[int, ...], dataclasses.field(default=image))]
    for key, parameter in inspect.signature(build).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            # The command line has no injected parts: of `str | Part` it takes the names.
            choices = [t for t in typing.get_args(hints[key]) if not inspect.isclass(t)]
            hint = choices[0] if choices and len(choices) == 1 else hints[key]
            fields.append((key, hint, dataclasses.field(default=parameter.default)))
    flags = dataclasses.make_dataclass(name, fields)
    flags.__doc__ = inspect.getdoc(build)
    parsed = tyro.cli(flags, args=list(argv), prog=f"python -m jresnet summary {name}")
    values = {f.name: getattr(parsed, f.name) for f in dataclasses.fields(parsed)}
    return values.pop("image"), values


def doctor(argv: Sequence[str]) -> int:
    """Versions, devices, whether jaxlib computes rightly, data, and what is missing."""
    from jresnet.doctor import examine

    if argv:
        raise UsageError(f"doctor takes no arguments, not {' '.join(argv)}")
    return examine()


USAGE = """\
usage: python -m jresnet COMMAND

  list              the nets of the zoo, with parameters, GMACs and paper
  summary NAME ...  one net: parameters, GMACs, feature shapes; its arguments are flags
  doctor            versions, devices, data, and what is missing
"""


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit status."""
    command, *rest = argv or ["--help"]
    try:
        if command in ("-h", "--help", "help"):
            print(USAGE, end="")
            return 0
        if command == "list" and not rest:
            return list_nets()
        if command == "summary":
            return summary(rest)
        if command == "doctor":
            return doctor(rest)
        raise UsageError(f"command {' '.join(argv)!r}: take list, summary NAME or doctor")
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
