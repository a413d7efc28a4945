"""A head of more classes than one device should hold."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jresnet.tasks.base import total
from tests.tasks.toys import examples

CLASSES, FEATURES = 10_000, 16


def identities(count: int, seed: int) -> dict[str, np.ndarray]:
    """Noisy views of `CLASSES` random directions, `[count, FEATURES]`, and whose they are."""
    centers = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, count)
    views = centers[label] + 0.1 * rng.normal(size=(count, FEATURES))
    return {"x": views.astype(np.float32), "label": label.astype(np.int32)}


class ClassMatrix(nn.Module):
    """Cosines of embeddings `[batch, FEATURES]` with a direction for each class."""

    @nn.compact
    def __call__(self, x):
        shape = (FEATURES, CLASSES)
        kernel = self.param("kernel", nn.initializers.normal(), shape)
        kernel = kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True)
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True) @ kernel


class Recognizer(nn.Module):
    """An embedding by two dense layers, and cosines."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(32, name="dense1")(x))
        return ClassMatrix(name="head")(nn.Dense(FEATURES, name="dense2")(x))


@dataclasses.dataclass(frozen=True)
class Identify:
    """Softmax over cosines with an additive angular margin (Deng et al. 2019, arXiv:1801.07698)."""

    model: nn.Module = dataclasses.field(default_factory=Recognizer)
    scale: float = 16.0
    margin: float = 0.2
    unit = "face"

    def init(self, rng, batch):
        return dict(self.model.init(rng, batch["x"]))

    def loss(self, variables, batch, rng):
        cosines: Any = self.model.apply({"params": variables["params"]}, batch["x"])
        losses = self.losses(cosines, batch["label"], self.margin)
        return losses.mean(), ({}, self._metrics(cosines, losses, batch))

    def losses(self, cosines, label, margin):
        """Cross-entropy `[batch]`. With one-hot targets the class axis may lie on any devices."""
        target = jax.nn.one_hot(label, CLASSES)
        angles = jnp.arccos(jnp.clip(cosines, -1 + 1e-6, 1 - 1e-6))
        logits = self.scale * jnp.where(target > 0, jnp.cos(angles + margin), cosines)
        return optax.softmax_cross_entropy(logits, target)

    def evaluate(self, variables, batch):
        cosines: Any = self.model.apply({"params": variables["params"]}, batch["x"])
        return self._metrics(cosines, self.losses(cosines, batch["label"], 0.0), batch)

    def _metrics(self, cosines, losses, batch):
        hit = (cosines.argmax(-1) == batch["label"]).astype(jnp.float32)
        valid = batch.get("valid")
        return {
            "loss": total(losses, valid),
            "hit": total(hit, valid),
            "examples": examples(batch),
        }
