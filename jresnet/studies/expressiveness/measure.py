"""Residual nets that compute the same as a trained plain net, and differences of their logits."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.chain import chain
from jresnet.analysis.expressiveness import (
    as_residual,
    biases_into_convolutions,
    branch_sizes,
    deepen,
)
from jresnet.models.heads import Classifier
from jresnet.models.layers import Conv, NoNorm
from jresnet.models.part import part
from jresnet.studies.subjects import Subject
from jresnet.weights.fold import fold

Net = tuple[Classifier, Mapping[str, Any]]


class Compared(NamedTuple):
    """One net, compared with the plain net without norms.

    - label: its name.
    - parameters: number of its parameters.
    - error: test error in per cent.
    - single: largest difference of logits in float32.
    - double: largest difference in float64.
    - scale: largest logit in float32.
    """

    label: str
    parameters: int
    error: float
    single: float
    double: float
    scale: float


def len_layers(depths: tuple[int, ...]) -> int:
    """Layers of a CIFAR net of two-layer blocks."""
    return 2 * sum(depths) + 2


def constructed(plain: Subject, depths: tuple[int, ...]) -> dict[str, Net]:
    """The plain net, without its norms, as a residual net, and as a deeper one."""
    folded, variables = fold(plain.classifier, plain.variables)
    backbone: Any = folded.backbone
    bare = folded.clone(backbone=backbone.clone(norm=NoNorm, conv=part(Conv, use_bias=True)))
    moved = {"params": biases_into_convolutions(variables["params"])}
    twin = as_residual(bare, moved)
    return {
        plain.label: (plain.classifier, plain.variables),
        "BatchNorm folded": (bare, moved),
        "residual twin": twin,
        f"residual twin, {len_layers(depths)} layers": deepen(*twin, depths),
    }


def compare(
    nets: Mapping[str, Net], plain: Subject, batch: Mapping[str, np.ndarray]
) -> list[Compared]:
    """Compare all nets with the second of them on one batch."""
    single, double = {}, {}
    for label, (model, variables) in nets.items():
        single[label] = logits(model, variables, plain, batch["image"])
        with jax.enable_x64(True):
            double[label] = logits(model, variables, plain, batch["image"], jnp.float64)
    reference = list(nets)[1]
    return [
        Compared(
            label,
            sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
            100 * float((single[label].argmax(-1) != batch["label"]).mean()),
            float(np.abs(single[label] - single[reference]).max()),
            float(np.abs(double[label] - double[reference]).max()),
            float(np.abs(single[label]).max()),
        )
        for label, (_, variables) in nets.items()
    ]


def sizes_of_branches(twin: Net, residual: Subject, images: jax.Array) -> dict[str, list[float]]:
    """`|F(x)| / |S(x)|` of each block of the constructed and of the trained residual net."""
    return {
        "constructed from the trained plain net": branch_sizes(chain(twin[0]), twin[1], images),
        "trained as a residual net": branch_sizes(
            chain(residual.classifier), residual.variables, images
        ),
    }


def logits(
    model: Classifier, variables: Any, subject: Subject, images: np.ndarray, dtype: Any = None
) -> np.ndarray:
    """Logits `[images, classes]` in evaluation, computed in batches of 256.

    Args:
        model: the net.
        variables: its parameters and statistics.
        subject: its normalisation is used.
        images: uint8 `[images, *spatial, channels]`.
        dtype: type of variables and images; by default unchanged.
    """

    @jax.jit
    def compute(variables: Any, images: jax.Array) -> Any:
        images = subject.normalize(images)
        return model.apply(
            variables, images if dtype is None else images.astype(dtype), train=False
        )

    variables = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), variables)
    return np.concatenate(
        [np.asarray(compute(variables, images[i : i + 256])) for i in range(0, len(images), 256)]
    )
