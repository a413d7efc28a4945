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

    In training each of `pixel_augment` is called as `op(rng, pixels)` on floats in [0, 255]; then,
    always, `normalize`; then, in training, each of `augment` on what that gave, and `mix` (`jresnet.data.augment.mix`) last. `criterion(logits, targets)` is one number for each example. Metrics: `loss` (cross-entropy in nats,
    in training against the smoothed and mixed targets), `error` (fraction), and `top5_error` where
    there are more than ten classes.
    """

    model: nn.Module
    normalize: Callable[[Array], Array]
    augment: tuple[Augmentation, ...] = ()
    label_smoothing: float = 0.0
    mix: Callable[[Array, Array], Mixed] | None = None
    pixel_augment: tuple[Augmentation, ...] = ()
    criterion: Callable[[Array, Array], Array] = optax.softmax_cross_entropy

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        # With train=True, so that a batch that BatchNorm cannot group is refused here.
        rngs = {"params": rng, "dropout": rng}
        return dict(self.model.init(rngs, self.normalize(batch["image"]), train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, mixing, before, after = jax.random.split(rng, 4)
        images, mixed = self._given((mixing, before, after), batch["image"])
        state = [key for key in variables if key != "params"]
        logits, new_state = self.model.apply(
            variables, images, train=True, rngs={"dropout": dropout}, mutable=state
        )
        targets = jax.nn.one_hot(batch["label"], logits.shape[-1], dtype=logits.dtype)
        targets = optax.smooth_labels(targets, self.label_smoothing)
        targets = targets if mixed is None else mixed.targets(targets)
        losses = self.criterion(logits, targets)
        return losses.mean(), (dict(new_state), scores(losses, logits, batch))

    def _given(self, keys: tuple[Array, Array, Array], images: Array) -> tuple[Array, Mixed | None]:
        """What the net is given in training."""
        mixing, before, after = keys
        images = augmented(before, images, self.pixel_augment, jnp.float32)
        images = augmented(after, self.normalize(images), self.augment)
        mixed = None if self.mix is None else self.mix(mixing, images)
        return (images if mixed is None else mixed.images), mixed

    def pictures(self, batch: Batch, rng: Array) -> Array:
        """What `loss` gives the net, black as 0 and white as 1; `normalize` is taken to be affine."""
        _, mixing, before, after = jax.random.split(rng, 4)
        images, _ = self._given((mixing, before, after), batch["image"])
        black = self.normalize(jnp.zeros_like(batch["image"]))
        white = self.normalize(jnp.full_like(batch["image"], 255))
        return jnp.clip((images - black) / (white - black), 0, 1)

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`logits` and `label` of each example."""
        images = self.normalize(batch["image"])
        logits: Any = self.model.apply(variables, images, train=False)
        return {"logits": logits, "label": batch["label"]}

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        logits = self.outputs(variables, batch)["logits"]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
        return scores(losses, logits, batch)


def augmented(
    rng: Array, images: Array, augment: tuple[Augmentation, ...], dtype: Any = None
) -> Array:
    """`images`, as `dtype` if there is anything to do, through each of `augment` in turn."""
    images = images if dtype is None or not augment else images.astype(dtype)
    for op, key in zip(
        augment, jax.random.split(rng, len(augment)) if augment else (), strict=True
    ):
        images = op(key, images)
    return images


def scores(losses: Array, logits: Array, batch: Batch) -> Metrics:
    """Metrics of logits `[batch, classes]` against `batch["label"]`, under `batch["valid"]`."""
    label, valid = batch["label"], batch.get("valid")
    # Strictly better classes, and equal ones before it: what argmax would have chosen.
    own = jnp.take_along_axis(logits, label[:, None], -1)
    before = jnp.arange(logits.shape[-1])[None] < label[:, None]
    rank = jnp.sum((logits > own) | ((logits == own) & before), -1)
    metrics = {"loss": total(losses, valid), "error": total(rank > 0, valid)}
    if logits.shape[-1] > 10:
        metrics["top5_error"] = total(rank > 4, valid)
    metrics["examples"] = (total(jnp.ones_like(losses), valid)[0], jnp.ones(()))
    return metrics
