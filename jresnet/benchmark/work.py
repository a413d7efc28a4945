"""What analyses are timed on: nets, batches, and how much of each analysis there is to do."""

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from jresnet.analysis.hessian import random_starts
from jresnet.analysis.landscape import grid, kernels, random_direction
from jresnet.analysis.lesion import without
from jresnet.benchmark import analyses as ours
from jresnet.benchmark.analyses import Run
from jresnet.benchmark.jax_nets import synthetic
from jresnet.benchmark.timing import OURS
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.tasks.base import Batch, Variables

Analysis = Literal["landscape", "lesions", "products"]
AT_ONCE = 4  # points of a landscape in one step, as `jresnet.analysis.landscape.surface` has them
IMAGE = (32, 32, 3)


class Settings(NamedTuple):
    """The whole work, what a step of it is, and how long it is timed."""

    points: int
    images: int
    products: int
    depth: int
    lesion_depth: int
    batch: int
    repeats: int
    seconds: float


class Work(NamedTuple):
    """One analysis: its contestants, which find the same, and how often each image is looked at, by
    a step and in the whole work."""

    net: str
    runs: dict[str, Run]
    step: int
    whole: int


def contestants(kind: str, theirs: Any, *work: Any) -> Iterator[tuple[str, Run]]:
    """jresnet first, then torch if it is there."""
    yield OURS, getattr(ours, kind)(*work)
    if theirs:
        yield theirs.NAME, getattr(theirs, kind)(*work)


def net_of(depth: int, settings: Settings) -> tuple[Classifier, Variables, Batch]:
    """A net, its variables, and a batch."""
    net = zoo.cifar_resnet(depth)
    batch = ours.normalised(synthetic(IMAGE, settings.batch, net.num_classes))
    return net, ours.settled(net, batch), batch


def landscape(settings: Settings, theirs: Any) -> Work:
    """Filter-normalised random directions; a step is a few points spread over the whole grid."""
    net, variables, batch = net_of(settings.depth, settings)
    rng = np.random.default_rng(0)
    directions = [random_direction(rng, variables["params"]) for _ in range(2)]
    axis = np.linspace(-1, 1, settings.points)
    every = grid(axis, axis)
    some = every[np.linspace(0, len(every) - 1, AT_ONCE).astype(int)]
    runs = dict(contestants("landscape", theirs, net, variables, directions, some, batch))
    return Work(f"ResNet-{settings.depth}", runs, AT_ONCE, len(every))


def lesions(settings: Settings, theirs: Any) -> Work:
    """A step is all lesions: what they share is computed once for all of them."""
    net, variables, batch = net_of(settings.lesion_depth, settings)
    blocks = sum(net.backbone.depths)
    orders = [without(blocks, [block]) for block in range(blocks)]
    runs = dict(contestants("lesions", theirs, net, variables, orders, batch))
    return Work(f"ResNet-{settings.lesion_depth}", runs, blocks, blocks)


def products(settings: Settings, theirs: Any) -> Work:
    """A step is one product with a vector of random signs."""
    net, variables, batch = net_of(settings.depth, settings)
    dim = kernels(variables["params"])[0].size
    (vector,) = random_starts(np.random.default_rng(0), 1, dim)
    runs = dict(contestants("product", theirs, net, variables, vector, batch))
    return Work(f"ResNet-{settings.depth}", runs, 1, settings.products)


WORK: dict[Analysis, Callable[[Settings, Any], Work]] = {
    "landscape": landscape,
    "lesions": lesions,
    "products": products,
}
