"""The class matrix of face recognition, whole and sampled (Partial FC), beside PyTorch's whole one."""

import functools
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from jresnet.benchmark.beside import Beside, Contestants
from jresnet.benchmark.jax_nets import learning
from jresnet.benchmark.timing import OURS, Mode
from jresnet.tasks.margins import arcface
from jresnet.tasks.recognise import Recognise

FEATURES = 512  # of an embedding
INPUTS = 8  # numbers of a "picture": what is timed is the matrix
SAMPLED = 0.1  # An et al. 2022 (arXiv:2203.15565), section 4: a tenth loses no accuracy
RATE = 0.1
PEER = "torch_identities"


class Embedding(nn.Module):
    """One layer in place of a net, `[batch, 1, 1, INPUTS]` to `[batch, FEATURES]`."""

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        del train
        return nn.Dense(FEATURES)(x.reshape(len(x), -1))


def class_matrix(classes: int, mode: Mode, size: int, theirs: Any, dtype: Any) -> Contestants:
    """A step of `size` faces with ArcFace among `classes` people; SGD with momentum, in float32."""
    del mode, dtype
    rng = np.random.default_rng(0)
    batch = jax.device_put(
        {
            "image": rng.integers(0, 256, (size, 1, 1, INPUTS), np.uint8),
            "label": rng.integers(0, classes, size, np.int32),
        }
    )
    for name, sampled in ((OURS, 1.0), (f"{OURS}, a tenth of the classes", SAMPLED)):
        task = Recognise(
            Embedding(), lambda x: x / 255.0, classes, FEATURES, arcface(), sampled, flips=False
        )
        yield name, learning(task, batch, RATE)
    if theirs:
        yield theirs.NAME, theirs.class_matrix(jax.device_get(batch), classes, FEATURES, RATE)


CASES = {
    name: Beside(
        functools.partial(class_matrix, classes), PEER, 128, 1024, unit="faces", modes=("train",)
    )
    for name, classes in (("people_1e5", 100_000), ("people_1e6", 1_000_000))
}
