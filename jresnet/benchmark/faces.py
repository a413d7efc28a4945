"""Nets for faces beside the same nets in PyTorch, with ArcFace among ten thousand people."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jresnet.benchmark.beside import Beside, Contestants
from jresnet.benchmark.jax_nets import computed, learning
from jresnet.benchmark.timing import OURS, Mode
from jresnet.data.normalisation import Normalize
from jresnet.models import zoo
from jresnet.models.heads.embedding import IResNet
from jresnet.tasks.margins import arcface
from jresnet.tasks.recognise import Recognise
from jresnet.weights import to_torch

SIDE, PEOPLE, FEATURES, RATE = 112, 10_000, 512, 0.1
HALF = Normalize((0.5,) * 3, (0.5,) * 3)
PEER = "torch_faces"


def face_net(
    build: Callable[..., IResNet], mode: Mode, size: int, theirs: Any, dtype: Any
) -> Contestants:
    """A train step of `size` faces, or their embeddings; the peer's net has the same weights."""
    rng = np.random.default_rng(0)
    batch = jax.device_put(
        {
            "image": rng.integers(0, 256, (size, SIDE, SIDE, 3), np.uint8),
            "label": rng.integers(0, PEOPLE, size, np.int32),
        }
    )
    net = build(dtype=dtype)
    task = Recognise(net, HALF, PEOPLE, FEATURES, arcface(), flips=False)
    variables = jax.jit(task.init)(jax.random.key(0), batch)
    images = jax.jit(HALF)(batch["image"])
    alone = task.of_model(variables)
    if mode == "train":
        yield OURS, learning(task, batch, RATE, variables)
    else:
        function = lambda variables, images: net.apply(variables, images, train=False)  # noqa: E731
        yield OURS, computed(function, alone, images)
    if theirs:
        state, arrays = to_torch(alone, net), (np.asarray(images), np.asarray(batch["label"]))
        depths = net.backbone.depths
        yield theirs.NAME, theirs.face_net(depths, state, *arrays, mode, PEOPLE, RATE)


CASES = {
    "iresnet18": Beside(functools.partial(face_net, zoo.iresnet18), PEER, 8, 512, unit="faces"),
    "iresnet50": Beside(functools.partial(face_net, zoo.iresnet50), PEER, 4, 256, unit="faces"),
}
