"""Nets whose output is a picture beside the same nets in PyTorch: one enlarges, one paints anew."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jresnet.benchmark.beside import Beside, Contestants
from jresnet.benchmark.jax_nets import computed, learning
from jresnet.benchmark.timing import OURS, Mode
from jresnet.models import zoo
from jresnet.models.heads.restyle import Restyler
from jresnet.models.heads.upsample import Upscaler
from jresnet.tasks.base import Array, Batch, Metrics, Variables, total
from jresnet.weights import to_torch

PATCH = 48  # side of the small pictures that are enlarged
PAINTED = 256  # and of those that are painted
RATE = 1e-4


@dataclasses.dataclass(frozen=True)
class Pairs:
    """`batch["image"]` and `batch["truth"]`, float32: the mean absolute difference of the result."""

    model: nn.Module

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        return dict(self.model.init(rng, batch["image"], train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        del rng
        result: Any = self.model.apply(variables, batch["image"], train=True)
        value = jnp.abs(result - batch["truth"]).mean()
        return value, ({}, {"loss": total(value[None])})

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        return self.loss(variables, batch, jax.random.key(0))[1][1]


def msrresnet_x4(mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """BasicSR's SRResNet of 16 blocks of 64 channels."""
    return picture_net(zoo.msrresnet_x4(dtype=dtype), PATCH, 4, mode, size, theirs)


def johnson(mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """The style net of pytorch/examples."""
    return picture_net(zoo.johnson(dtype=dtype), PAINTED, 1, mode, size, theirs)


def picture_net(
    net: Upscaler | Restyler, side: int, scale: int, mode: Mode, size: int, theirs: Any
) -> Contestants:
    """A train step, or the results of `size` pictures; the peer's net has the same weights."""
    rng = np.random.default_rng(0)
    shape, enlarged = (size, side, side, 3), (size, scale * side, scale * side, 3)
    arrays = {"image": rng.random(shape, np.float32), "truth": rng.random(enlarged, np.float32)}
    batch = jax.device_put(arrays)
    task = Pairs(net)
    variables = jax.jit(task.init)(jax.random.key(0), batch)
    if mode == "train":
        yield OURS, learning(task, batch, RATE, variables)
    else:
        function = lambda variables, images: net.apply(variables, images, train=False)  # noqa: E731
        yield OURS, computed(function, variables, batch["image"])
    if theirs:
        name = type(net).__name__
        yield theirs.NAME, theirs.picture_net(name, to_torch(variables, net), arrays, mode, RATE)


PEER = "torch_pictures"
CASES = {
    "msrresnet_x4": Beside(msrresnet_x4, PEER, 4, 64),
    "johnson": Beside(johnson, PEER, 1, 16),
}
