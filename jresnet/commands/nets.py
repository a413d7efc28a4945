"""`list` and `summary`: what the zoo has, computed from shapes alone."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.benchmark.footprint import Footprint, footprint
from jresnet.commands.arguments import parse
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models import cpu
from jresnet.models.published import abstract_variables, cards, count_net
from jresnet.report.text import format_table
from jresnet.tasks.classify import Classify
from jresnet.train.optim import sgd
from jresnet.train.state import create
from jresnet.train.step import make_train_step
from jresnet.weights.nets import find_net, zoo_functions


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


def summary(argv: Sequence[str]) -> int:
    """Parameters, multiply-accumulates and feature shapes of one net, from its own arguments.

    `summary cifar_resnet --depth 110 --image 32 32 3`
    `summary runs/cifar10`

    `summary resnet50 --batch 256` says what a step will take at most, in float32 with SGD and
    momentum on the kind of device at hand, from its trace alone.
    """
    net = find_net(argv[0] if argv else None)
    flags, arguments = parse(Summary, f"summary {net.name}", net, argv[1:], image=net.image)
    try:
        model = net.build(**arguments)
        parameters, macs = count_net(model, flags.image)
    except ValueError as error:
        raise UsageError(str(error)) from error
    size = "x".join(map(str, flags.image))
    print(f"{net.name}: {parameters:,} parameters, {macs / 1e9:.3f} GMAC for an image of {size}")
    published = {card.parameters: card.paper for card in cards(net.build)}
    if published:
        print(published.get(parameters, cards(net.build)[0].paper))
    shapes = feature_shapes(model, flags.image)
    print(format_table(("features", "shape", "parameters"), shapes))
    if flags.batch is not None:
        found = step_footprint(model, flags.image, flags.batch)
        kind = jax.default_backend()
        print(
            f"a training step of {flags.batch} takes about {found.total / 2**30:.2f} GiB on {kind}, "
            f"{found.arguments / 2**30:.2f} of them for parameters, momentum and images"
        )
    return 0


def step_footprint(model: Any, image: tuple[int, ...], batch: int) -> Footprint:
    """Of a step of SGD with momentum and weight decay on `batch` images."""
    images = {
        "image": jax.ShapeDtypeStruct((batch, *image), jnp.uint8),
        "label": jax.ShapeDtypeStruct((batch,), jnp.int32),
    }
    half = Normalize((0.5,) * image[-1], (0.25,) * image[-1])
    task, optimizer = Classify(model, half), sgd(lambda step: jnp.asarray(0.1), weight_decay=1e-4)
    key = jax.random.key(0)
    state = jax.eval_shape(lambda batch: create(task, optimizer, key, batch, ema=False), images)
    return footprint(make_train_step(task, optimizer, key), state, images)


@cpu.without()
def feature_shapes(model: Any, image: tuple[int, ...]) -> list[tuple[str, str, str]]:
    """(name, shape, parameters) of the stem, each stage and the head, for one image."""
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
