"""Parameter counts and multiply-accumulates of nets: as published, and as counted."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models import cpu
from jresnet.models.headed import Headed

Build = TypeVar("Build", bound=Callable[..., Any])
_CARDS = "__published__"


@dataclasses.dataclass(frozen=True)
class Card:
    """Parameter count and 1e9 multiply-accumulates (None: not published) for one image."""

    parameters: int
    gmacs: float | None
    paper: str
    image: tuple[int, ...]
    arguments: tuple[tuple[str, Any], ...]


def published(
    parameters: int,
    gmacs: float | None,
    paper: str,
    image: tuple[int, ...] = (224, 224, 3),
    **arguments: Any,
) -> Callable[[Build], Build]:
    """Attach a card to a zoo function; `arguments` are those it holds for."""

    def attach(build: Build) -> Build:
        card = Card(parameters, gmacs, paper, image, tuple(arguments.items()))
        setattr(build, _CARDS, (card, *cards(build)))
        return build

    return attach


def cards(build: Callable[..., Any]) -> tuple[Card, ...]:
    """The cards of a zoo function, empty for any other."""
    return getattr(build, _CARDS, ())


@cpu.without()  # shapes need no backend
def abstract_variables(model: nn.Module | Headed, image: tuple[int, ...]) -> dict[str, Any]:
    """The variables' shapes for images of shape `[*spatial, channels]`; computes nothing."""

    def init(x: jax.Array) -> Any:
        return model.init(jax.random.key(0), x, train=False)

    return jax.eval_shape(init, jax.ShapeDtypeStruct((1, *image), jnp.float32))


class Counts(NamedTuple):
    """Trained values of a net, and its multiply-accumulates for one evaluated image.

    Those are of convolutions and matrix products, as torchvision counts: padding is included;
    norms, activations and pools are left out.
    """

    parameters: int
    macs: int


@cpu.without()
def count_net(model: nn.Module | Headed, image: tuple[int, ...]) -> Counts:
    """Parameters and multiply-accumulates for images of shape `[*spatial, channels]`.

    The output may be any tree. Computes nothing.
    """

    def forward(x: jax.Array) -> Any:
        # Initialised on the way, which multiplies nothing: one trace, not two.
        return model.init_with_output(jax.random.key(0), x, train=False)

    images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    jaxpr, (_, variables) = jax.make_jaxpr(forward, return_shape=True)(images)
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    return Counts(parameters, _macs(jaxpr.jaxpr))


def _macs(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += repeats * sum(_macs(inner) for inner in _inner(equation.params))
        if equation.primitive.name == "conv_general_dilated":
            kernel, layout = equation.invars[1].aval, equation.params["dimension_numbers"]
            outputs = kernel.shape[layout.rhs_spec[0]]
            total += equation.outvars[0].aval.size * kernel.size // outputs
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += equation.outvars[0].aval.size * math.prod(shape[i] for i in contracted)
    return total


def _inner(params: Any) -> Iterator[Any]:
    """The jaxprs within an equation: of a scan's body, a custom rule, a nested jit."""
    for value in params.values():
        for candidate in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(candidate, "jaxpr", candidate)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr
