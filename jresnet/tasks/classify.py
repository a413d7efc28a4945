"""Image classification with softmax cross-entropy."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jresnet.tasks.base import Array, Batch, Metrics, Variables, total

Augmentation = Callable[[Array, Array], Array]


class Mixed(Protocol):
    """Images of a batch mixed with each other, and how targets follow."""

    @property
    def images(self) -> Array: ...

    def targets(self, targets: Array, /) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Classify:
    """`batch["image"]` uint8 `[batch, *spatial, channels]`, `batch["label"]` int `[batch]`.

    `normalize` takes the bytes to floats, then each of `augment` is called as `op(rng, images)`,
    and `mix` (`jresnet.data.mix`) last, in training only. Metrics: `loss` (cross-entropy in nats,
    in training against the smoothed and mixed targets), `error` (fraction), and `top5_error` where
    there are more than ten classes.
    """

    model: nn.Module
    normalize: Callable[[Array], Array]
    augment: tuple[Augmentation, ...] = ()
    label_smoothing: float = 0.0
    mix: Callable[[Array, Array], Mixed] | None = None

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        # With train=True, so that a batch that BatchNorm cannot group is refused here.
        rngs = {"params": rng, "dropout": rng}
        return dict(self.model.init(rngs, self.normalize(batch["image"]), train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, *augment, mixing = jax.random.split(rng, 2 + len(self.augment))
        images = self.normalize(batch["image"])
        for op, key in zip(self.augment, augment, strict=True):
            images = op(key, images)
        mixed = None if self.mix is None else self.mix(mixing, images)
        images = images if mixed is None else mixed.images
        state = [key for key in variables if key != "params"]
        logits, new_state = self.model.apply(
            variables, images, train=True, rngs={"dropout": dropout}, mutable=state
        )
        targets = jax.nn.one_hot(batch["label"], logits.shape[-1], dtype=logits.dtype)
        targets = optax.smooth_labels(targets, self.label_smoothing)
        targets = targets if mixed is None else mixed.targets(targets)
        losses = optax.softmax_cross_entropy(logits, targets)
        return losses.mean(), (dict(new_state), scores(losses, logits, batch))

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`logits` and `label` of each example."""
        images = self.normalize(batch["image"])
        logits: Any = self.model.apply(variables, images, train=False)
        return {"logits": logits, "label": batch["label"]}

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        logits = self.outputs(variables, batch)["logits"]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return scores(losses, logits, batch)


def scores(losses: Array, logits: Array, batch: Batch) -> Metrics:
    """Metrics of logits `[batch, classes]` against `batch["label"]`, under `batch["mask"]`."""
    label, mask = batch["label"], batch.get("mask")
    # Strictly better classes, and equal ones before it: what argmax would have chosen.
    own = jnp.take_along_axis(logits, label[:, None], -1)
    before = jnp.arange(logits.shape[-1]) < label[:, None]
    rank = jnp.sum((logits > own) | ((logits == own) & before), -1)
    metrics = {"loss": total(losses, mask), "error": total(rank > 0, mask)}
    if logits.shape[-1] > 10:
        metrics["top5_error"] = total(rank > 4, mask)
    metrics["examples"] = (total(jnp.ones_like(losses), mask)[0], jnp.ones(()))
    return metrics
