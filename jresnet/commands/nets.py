"""`list` and `summary`: what the zoo has, computed from shapes alone."""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jresnet.commands.arguments import parse
from jresnet.commands.step_memory import memory_line, recorded_step, usual_step
from jresnet.errors import UsageError
from jresnet.models import cpu
from jresnet.models.headed import Headed, with_backbone
from jresnet.models.published import abstract_variables, cards, count_net
from jresnet.models.stage import Remat
from jresnet.report.text import format_table
from jresnet.weights.nets import find_net, zoo_functions
from jresnet.weights.recorded import read_recorded


def list_nets(argv: Sequence[str]) -> int:
    """The nets of the zoo: arguments, parameters, 1e9 multiply-accumulates an image, paper."""
    if argv:
        raise UsageError(f"list takes no arguments, not {' '.join(argv)}")
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


@dataclasses.dataclass(kw_only=True)
class Summary:
    image: tuple[int, ...]
    """Size and channels of an image."""
    batch: int | None = None
    """Also say how much memory a training step of so many images will take."""
    compile: bool = False
    """Have the compiler state that: exact, and takes as long as compiling the step."""
    scan: bool = False
    """Scan that step's stages: each is compiled as one block that is repeated."""
    remat: Remat = "none"
    """Compute again in backpropagation what lies between convolutions, or between blocks."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """The type of that step's activations."""


def summary(argv: Sequence[str]) -> int:
    """Parameters, multiply-accumulates and shapes of one net, part by part, from its own arguments.

    `summary cifar_resnet --depth 110 --image 32 32 3`
    `summary runs/cifar10`

    With --batch it also says what a training step will take at most on the kind of device at hand,
    estimated from its trace alone, or with --compile as the compiler states it. For a run with the
    run's own task and optimizer, for a classifier of the zoo, or a net for label maps, with SGD and
    momentum; --scan, --remat and --dtype are those of such a step.
    """
    net = find_net(argv[0] if argv else None)
    flags, arguments = parse(Summary, f"summary {net.name}", net, argv[1:], image=net.image)
    try:
        model = net.build(**arguments)
        parameters, macs = count_net(model, flags.image)
    except ValueError as error:
        raise UsageError(str(error)) from error
    for name, usual in (
        ("compile", False),
        ("scan", False),
        ("remat", "none"),
        ("dtype", "float32"),
    ):
        if (value := getattr(flags, name)) != usual and flags.batch is None:
            raise UsageError(
                f"{name}={value}: expected --batch too, the number of images of a step"
            )
    size = "x".join(map(str, flags.image))
    print(f"{net.name}: {parameters:,} parameters, {macs / 1e9:.3f} GMAC for an image of {size}")
    published = {card.parameters: card.paper for card in cards(net.build)}
    if published:
        print(published.get(parameters, cards(net.build)[0].paper))
    print(format_table(("part", "shape", "parameters"), table_of_parts(model, flags.image)))
    if flags.batch is not None:
        folder = Path(argv[0])
        recorded = read_recorded(folder) if folder.is_dir() else None
        how = {"scan": flags.scan, "remat": flags.remat, "dtype": jnp.dtype(flags.dtype)}
        if recorded and (flags.scan, flags.remat, flags.dtype) != (False, "none", "float32"):
            raise UsageError(f"run {str(folder)!r}: expected none of --scan, --remat and --dtype")
        step = (
            recorded_step(recorded)
            if recorded
            else usual_step(with_backbone(model, **how), flags.image)
        )
        print(memory_line(step, flags.batch, flags.compile))
    return 0


def table_of_parts(model: Headed, image: tuple[int, ...]) -> list[tuple[str, str, str]]:
    """(name, shapes, parameters) of each part, for one image.

    First the backbone's features, then each module beside it, then the net's output where it is
    not the last module's. A part's parameters are the text "0" or more, an output's are empty.
    """
    variables, seen = outputs_of_parts(model, image)
    params = dict(variables["params"])
    inner = dict(params.pop("backbone", {}))
    features = seen.pop("backbone", {})
    rows = []
    for name, shapes in features.items():
        rows.append((name, shapes, inner.pop(name, {})))
    rows += [(f"backbone/{name}", "", tree) for name, tree in inner.items()]
    output = seen.pop("output")
    order = [*(name for name in seen if name in params), *(n for n in params if n not in seen)]
    rows += [(name, listed(seen.get(name, {})), params[name]) for name in order]
    counted = [(name, shape, f"{size_of(tree):,}") for name, shape, tree in rows]
    if not rows or rows[-1][1] != listed(output):
        counted.append(("output", listed(output), ""))
    return counted


@cpu.without()
def outputs_of_parts(
    model: Headed, image: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """The net's variables, and the shapes of what each of its modules returned, by name.

    Modules are those directly in the net that were called; `output` is what the net returned.
    """
    variables = abstract_variables(model, image)
    seen: dict[str, dict[str, str]] = {}

    def forward(variables: Any, x: jax.Array) -> None:
        output, state = model.apply(
            variables,
            x,
            train=False,
            capture_intermediates=lambda module, method: (
                method == "__call__" and len(module.path) == 1
            ),
            mutable=["intermediates"],
        )
        for name, methods in state.get("intermediates", {}).items():
            if isinstance(methods, Mapping) and "__call__" in methods:
                calls = methods["__call__"]
                # A wrapper's output comes after that of what it wraps; heads may run on every level.
                each = calls[-1] if name == "backbone" or len(calls) == 1 else calls
                seen[name] = dict(named_shapes(each))
        seen["output"] = dict(named_shapes(output))

    # Inside of the trace, since what it returns is sorted by name.
    jax.eval_shape(forward, variables, jax.ShapeDtypeStruct((1, *image), jnp.float32))
    return variables, seen


def named_shapes(tree: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(path, shape without the batch) of each array in dicts, tuples and lists, in their order."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from named_shapes(value, f"{name}.{key}".lstrip("."))
    elif isinstance(tree, tuple | list):
        for key, value in enumerate(tree):
            yield from named_shapes(value, f"{name}.{key}".lstrip("."))
    elif hasattr(tree, "shape"):
        yield name, "x".join(map(str, tree.shape[1:])) or "1"


def listed(shapes: Mapping[str, str]) -> str:
    """`out 64x64x21, aux 64x64x21`."""
    return ", ".join(f"{name} {shape}".strip() for name, shape in shapes.items())


def size_of(tree: Any) -> int:
    """The number of values in a tree of arrays."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
