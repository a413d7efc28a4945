"""The work of timed analyses: nets, batches, and the amount of each analysis."""

from collections.abc import Iterator
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


class Work(NamedTuple):
    """One analysis, computed by several contestants with the same result.

    - net: the net's name.
    - runs: contestants by name.
    - step: evaluations of each image in a step.
    - whole: evaluations of each image in the whole work.
    """

    net: str
    runs: dict[str, Run]
    step: int
    whole: int


def contestants(kind: str, theirs: Any, *work: Any) -> Iterator[tuple[str, Run]]:
    """Contestants by name: jresnet first, then the module `theirs`, if there is one."""
    yield OURS, getattr(ours, kind)(*work)
    if theirs:
        yield theirs.NAME, getattr(theirs, kind)(*work)


def prepare(depth: int, batch_size: int) -> tuple[Classifier, Variables, Batch]:
    """A CIFAR net of `depth` layers, its variables, and a batch of noise."""
    net = zoo.cifar_resnet(depth)
    batch = ours.normalised(synthetic(IMAGE, batch_size, net.num_classes))
    return net, ours.settled(net, batch), batch


def landscape(depth: int, points: int, batch_size: int, theirs: Any) -> Work:
    """A plane of `points` x `points` along filter-normalised random directions.

    A step is a few points, spread over the whole grid.
    """
    net, variables, batch = prepare(depth, batch_size)
    rng = np.random.default_rng(0)
    directions = [random_direction(rng, variables["params"]) for _ in range(2)]
    axis = np.linspace(-1, 1, points)
    every = grid(axis, axis)
    some = every[np.linspace(0, len(every) - 1, AT_ONCE).astype(int)]
    runs = dict(contestants("landscape", theirs, net, variables, directions, some, batch))
    return Work(f"ResNet-{depth}", runs, AT_ONCE, len(every))


def lesions(depth: int, batch_size: int, theirs: Any) -> Work:
    """Each block deleted alone. A step is all lesions: they share a part that is computed once."""
    net, variables, batch = prepare(depth, batch_size)
    blocks = sum(net.backbone.depths)
    orders = [without(blocks, [block]) for block in range(blocks)]
    runs = dict(contestants("lesions", theirs, net, variables, orders, batch))
    return Work(f"ResNet-{depth}", runs, blocks, blocks)


def products(depth: int, count: int, batch_size: int, theirs: Any) -> Work:
    """`count` Hessian-vector products; a step is one, with a vector of random signs."""
    net, variables, batch = prepare(depth, batch_size)
    dim = kernels(variables["params"])[0].size
    (vector,) = random_starts(np.random.default_rng(0), 1, dim)
    runs = dict(contestants("product", theirs, net, variables, vector, batch))
    return Work(f"ResNet-{depth}", runs, 1, count)
