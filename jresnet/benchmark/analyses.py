"""Analyses to be timed, as `jresnet.analysis` does them on one device."""

import functools
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jresnet.analysis.chain import chain
from jresnet.analysis.hessian import hessian_product
from jresnet.analysis.landscape import Params, point_mesh, surface
from jresnet.analysis.lesion import Order, evaluate, parts
from jresnet.data.normalisation import IMAGENET
from jresnet.models.heads import Classifier
from jresnet.models.layers import BatchNorm
from jresnet.models.part import part
from jresnet.studies.landscape.probe import measure
from jresnet.tasks.base import Batch, Variables

Run = Callable[[int], np.ndarray]  # count of passes over a batch to values, means over images


def settled(model: Classifier, batch: Batch) -> Variables:
    """Fresh parameters, and the statistics of the batch for BatchNorm.

    With fresh statistics the activations of a deep net would grow from block to block.
    """
    backbone = model.backbone
    forgetful = model.clone(backbone=backbone.clone(norm=part(BatchNorm, momentum=0.0)))

    @jax.jit
    def prepare(images: jax.Array) -> Variables:
        variables = model.init(jax.random.key(0), images[:1], train=False)
        _, statistics = forgetful.apply(variables, images, train=True, mutable=["batch_stats"])
        return {**variables, **statistics}

    return prepare(batch["image"])


def normalised(batch: Batch) -> Batch:
    """The batch with normalised float32 images, for a net's evaluation."""
    return {**batch, "image": jax.jit(IMAGENET)(batch["image"])}


def landscape(
    model: Classifier,
    variables: Variables,
    directions: Sequence[Params],
    points: np.ndarray,
    batch: Batch,
) -> Run:
    """Loss and error `[points, 2]` at points of a plane."""
    measure_net = functools.partial(measure, model, variables)
    values = surface(measure_net, point_mesh(jax.devices()[:1]), at_once=len(points))

    def run(count: int) -> np.ndarray:
        sums = list(values(variables["params"], directions, points, [batch] * count))
        return np.concatenate(sums) / (count * len(batch["label"]))

    return run


def lesions(model: Classifier, variables: Variables, orders: Sequence[Order], batch: Batch) -> Run:
    """Loss and error `[orders, 2]` of the net with blocks deleted."""
    net = parts(chain(model), variables)

    def run(count: int) -> np.ndarray:
        scores = evaluate(net, [batch] * count, orders)
        return np.stack([scores["loss"], scores["error"]], -1)

    return run


def product(model: Classifier, variables: Variables, vector: np.ndarray, batch: Batch) -> Run:
    """The Hessian of the mean loss with respect to the kernels times a vector `[dim]`."""
    bound = hessian_product(
        lambda params, batch: measure(model, variables, params, batch)[0],
        point_mesh(jax.devices()[:1]),
    )

    def run(count: int) -> np.ndarray:
        scale = 1 / (count * len(batch["label"]))
        times = bound(variables["params"], [], np.zeros((1, 0)), [batch] * count, scale)
        return times(vector[None])[0]

    return run
