"""Losses of label maps: cross-entropy, overlap (Dice, Jaccard, Tversky), Lovasz, focal, and sums.

Each is called as `loss(logits, labels, counted)` and gives one number for the batch:

- `logits`: float `[batch, *spatial, classes]`.
- `labels`: int `[batch, *spatial]` where a pixel has one class (softmax), or 0 and 1 in
  `[batch, *spatial, classes]` where it may have several (one sigmoid a class).
- `counted`: shape of `labels`, 0 where a pixel has no label. Such a pixel changes neither the loss
  nor a gradient, whatever its label.

Sums run over the whole batch, in float32 or wider, as in segmentation_models_pytorch 0.6.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from jresnet.tasks.base import Array

_TINY = 1e-7


class MapLoss(Protocol):
    """A loss of label maps, see the module."""

    def __call__(self, logits: Array, labels: Array, counted: Array) -> Array: ...


class Pixels(NamedTuple):
    """Logits, targets in 0 to 1, and weights 0 or 1, each `[batch, pixels, classes]`.

    `exclusive`: a pixel has one class, so that its probabilities are a softmax.
    """

    logits: Array
    targets: Array
    counted: Array
    exclusive: bool

    @property
    def probabilities(self) -> Array:
        """Those of the counted pixels, 0 elsewhere."""
        function = jax.nn.softmax if self.exclusive else jax.nn.sigmoid
        return function(self.logits) * self.counted


def pixels(logits: Array, labels: Array, counted: Array) -> Pixels:
    """The arguments of a loss in one shape. Raises ValueError for shapes that do not belong together."""
    exclusive = labels.ndim == logits.ndim - 1
    expected = logits.shape[:-1] if exclusive else logits.shape
    if labels.shape != expected or counted.shape != expected:
        raise ValueError(
            f"labels {labels.shape}, counted {counted.shape}: expected {expected} for logits {logits.shape}"
        )
    batch, classes = logits.shape[0], logits.shape[-1]
    dtype = jnp.promote_types(logits.dtype, jnp.float32)
    kept = counted > 0
    if exclusive:
        targets = jax.nn.one_hot(jnp.where(kept, labels, 0), classes, dtype=dtype)
        kept = jnp.broadcast_to(kept[..., None], logits.shape)
    else:
        targets = labels.astype(dtype)
    kept, targets = (x.astype(dtype).reshape(batch, -1, classes) for x in (kept, targets))
    # Where a pixel is not counted its logits may be anything, infinite too.
    safe = jnp.where(kept > 0, logits.astype(dtype).reshape(kept.shape), 0)
    return Pixels(safe, targets * kept, kept, exclusive)


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """Mean over the counted pixels; with sigmoids over their classes too.

    `class_weights` weigh the pixels of each class; the mean divides by the sum of these weights, as
    torch's `CrossEntropyLoss(weight, ignore_index)` does. `label_smoothing` moves that share of a
    pixel's target to all classes alike (softmax only).
    """

    class_weights: tuple[float, ...] | None = None
    label_smoothing: float = 0.0

    def __call__(self, logits: Array, labels: Array, counted: Array) -> Array:
        flat = pixels(logits, labels, counted)
        classes = flat.logits.shape[-1]
        weights = jnp.asarray(self.class_weights or (1.0,) * classes, flat.logits.dtype)
        if weights.shape != (classes,):
            raise ValueError(f"class_weights={self.class_weights}: expected {classes} numbers")
        weights = weights[None, None]
        if not flat.exclusive:
            losses = binary_cross_entropy(flat.logits, flat.targets)
            kept = flat.counted * jnp.where(flat.targets > 0, weights, 1)
            return _ratio(jnp.sum(losses * kept), jnp.sum(kept))
        smooth = flat.targets * (1 - self.label_smoothing) + self.label_smoothing / classes
        losses = -jax.nn.log_softmax(flat.logits) * smooth * weights * flat.counted
        return _ratio(jnp.sum(losses), jnp.sum(flat.targets * weights))


@dataclasses.dataclass(frozen=True)
class Overlap:
    """1 - overlap of probabilities and targets, a number a class, then their mean.

    The overlap of a class is `(tp + smooth) / (tp + alpha fp + beta fn + smooth)`, the Tversky index
    (arXiv:1706.05721, section 2) with sums over the batch: `alpha = beta = 0.5` is Dice (F1; see
    `dice`), 1 Jaccard (IoU; see `jaccard`). `logarithm` takes -log of the overlap. `gamma` is the power
    of the mean (focal Tversky, arXiv:1810.07842). `classes` are those that the mean runs over, by
    default all.

    A class of which no pixel is labelled counts as 0 in the mean, as in
    segmentation_models_pytorch. With `absent` it counts like any other, as in nnU-Net: pixels that
    are taken for it cost. Then `smooth` must be above 0, or it costs 1 without any such pixel.
    """

    alpha: float = 0.5
    beta: float = 0.5
    smooth: float = 0.0
    logarithm: bool = False
    gamma: float = 1.0
    classes: tuple[int, ...] | None = None
    absent: bool = False

    def __call__(self, logits: Array, labels: Array, counted: Array) -> Array:
        flat = pixels(logits, labels, counted)
        probable, target = flat.probabilities, flat.targets
        hit, total, true = (
            jnp.sum(x, (0, 1)) for x in (probable * target, probable, target)
        )  # of each class
        wide = hit + self.alpha * (total - hit) + self.beta * (true - hit) + self.smooth
        score = (hit + self.smooth) / jnp.maximum(wide, _TINY)
        losses = -jnp.log(jnp.maximum(score, _TINY)) if self.logarithm else 1 - score
        losses = losses if self.absent else jnp.where(true > 0, losses, 0)
        if self.classes is not None:
            losses = losses[jnp.asarray(self.classes)]
        mean = losses.mean()
        if self.gamma == 1:
            return mean
        # Not the power of 0, whose gradient is infinite.
        return jnp.where(mean > 0, jnp.where(mean > 0, mean, 1) ** self.gamma, 0)


def dice(smooth: float = 0.0, **fields: Any) -> Overlap:
    """Dice (arXiv:1606.04797, section 3), the soft F1 score."""
    return Overlap(0.5, 0.5, smooth, **fields)


def jaccard(smooth: float = 0.0, **fields: Any) -> Overlap:
    """Jaccard, the soft intersection over union."""
    return Overlap(1.0, 1.0, smooth, **fields)


@dataclasses.dataclass(frozen=True)
class Lovasz:
    """The Lovasz extension of 1 - IoU (arXiv:1705.08790): softmax over the classes present, or hinge.

    With sigmoids all classes are taken together as one foreground, on their logits (the hinge of
    section 2.2). `per_image` takes each image by itself and then their mean.

    With `levels` errors of exclusive classes are counted by size, so many sizes from 0 to 1, in
    place of being sorted, which on a CPU takes 18 times as long. Of 216,000 pixels and 1,024 levels
    the loss is the same to 1e-6 and its gradient to 0.2 %.
    """

    per_image: bool = False
    levels: int | None = None

    def __call__(self, logits: Array, labels: Array, counted: Array) -> Array:
        flat = pixels(logits, labels, counted)
        if flat.exclusive:
            errors = jnp.abs(flat.targets - flat.probabilities)
            target, kept = flat.targets, flat.counted
        else:
            errors = jax.nn.relu(1 - flat.logits * (2 * flat.targets - 1))
            rows = (len(errors), -1, 1)
            errors, target, kept = (x.reshape(rows) for x in (errors, flat.targets, flat.counted))
        if not self.per_image:
            errors, target, kept = (x.reshape(1, -1, x.shape[-1]) for x in (errors, target, kept))
        if self.levels and flat.exclusive:
            losses = counted_lovasz_extension(errors, target, kept, self.levels)
        else:
            losses = lovasz_extension(errors, target, kept)  # [images, classes]
        present = jnp.any(target > 0, 1).astype(losses.dtype)
        if not flat.exclusive:
            present = jnp.ones_like(present)
        return _ratio(jnp.sum(losses * present, -1), jnp.sum(present, -1)).mean()


def lovasz_extension(errors: Array, targets: Array, counted: Array) -> Array:
    """1 - IoU, extended to errors of any size: `[images, pixels, classes]` to `[images, classes]`.

    Errors are sorted, the largest first; each weighs as much as 1 - IoU grows when its pixel is
    added to the wrong ones (arXiv:1705.08790, algorithm 1).
    """
    order = jnp.argsort(-jnp.where(counted > 0, errors, -1), axis=1, stable=True)
    errors, targets, counted = (
        jnp.take_along_axis(x, order, 1) for x in (errors * counted, targets, counted)
    )
    total = jnp.sum(targets, 1, keepdims=True)
    missing = total - jnp.cumsum(targets, 1)
    union = total + jnp.cumsum(counted - targets, 1)
    index = jnp.where(union > 0, 1 - missing / jnp.maximum(union, 1), 0)
    growth = jnp.diff(index, axis=1, prepend=0)
    return jnp.sum(errors * growth, 1)


def counted_lovasz_extension(errors: Array, targets: Array, counted: Array, levels: int) -> Array:
    """`lovasz_extension` of errors from 0 to 1 that are counted in `levels` sizes, not sorted.

    Pixels of one size weigh alike within the object, and alike outside: the mean of what they weigh
    with all of the object's pixels first and with all of them last.
    """
    images, _, classes = errors.shape
    size = jnp.clip((jax.lax.stop_gradient(errors) * levels).astype(jnp.int32), 0, levels - 1)
    row = jnp.arange(images * classes).reshape(images, 1, classes)
    place = row * levels + (levels - 1 - size)  # the largest errors first

    def count(pixels: Array) -> Array:
        empty = jnp.zeros(images * classes * levels, errors.dtype)
        every = jnp.broadcast_to(pixels, errors.shape)
        return empty.at[place].add(every).reshape(images, classes, levels)

    within, outside = count(targets * counted), count(counted * (1 - targets))
    total = jnp.sum(within, -1, keepdims=True)
    missing = total - jnp.cumsum(within, -1)
    larger = total + jnp.cumsum(outside, -1)  # unions with these errors, and without them
    union = larger - outside
    target_weight = (1 / jnp.maximum(union, 1) + 1 / jnp.maximum(larger, 1)) / 2
    other_weight = (missing + within / 2) / jnp.maximum(union * larger, 1)
    weight = jnp.where(targets > 0, target_weight.ravel()[place], other_weight.ravel()[place])
    return jnp.sum(errors * counted * weight, 1)


@dataclasses.dataclass(frozen=True)
class Focal:
    """Binary cross-entropy of each class times `(1 - p) ** gamma` (arXiv:1708.02002, section 3).

    `p` is the probability of the target; the mean runs over counted pixels and classes. Deviation for exclusive classes: one sigmoid a class, no softmax, as in
    segmentation_models_pytorch. `alpha` weighs targets by alpha and the rest by 1 - alpha;
    `normalized` divides by the sum of the factors.
    """

    gamma: float = 2.0
    alpha: float | None = None
    normalized: bool = False

    def __call__(self, logits: Array, labels: Array, counted: Array) -> Array:
        flat = pixels(logits, labels, counted)
        losses = binary_cross_entropy(flat.logits, flat.targets)
        factor = jnp.maximum(1 - jnp.exp(-losses), _TINY) ** self.gamma
        weights = flat.counted
        if self.alpha is not None:
            weights = weights * (self.alpha * flat.targets + (1 - self.alpha) * (1 - flat.targets))
        axes = (0, 1) if flat.exclusive else (0, 1, 2)
        sums, count = jnp.sum(losses * factor * weights, axes), jnp.sum(flat.counted, axes)
        if self.normalized:
            sums = sums / jnp.maximum(jnp.sum(factor * flat.counted, axes), _TINY)
        return _ratio(sums, count).mean()


@dataclasses.dataclass(frozen=True)
class Sum:
    """`losses`, each times its entry of `weights`, by default 1."""

    losses: tuple[MapLoss, ...]
    weights: tuple[float, ...] | None = None

    def __call__(self, logits: Array, labels: Array, counted: Array) -> Array:
        weights = self.weights or (1.0,) * len(self.losses)
        pairs = zip(weights, self.losses, strict=True)
        return jnp.stack([weight * loss(logits, labels, counted) for weight, loss in pairs]).sum()


def binary_cross_entropy(logits: Array, targets: Array) -> Array:
    """Cross-entropy of each sigmoid in nats, for targets from 0 to 1."""
    return jax.nn.softplus(logits) - logits * targets


def _ratio(sums: Array, count: Array) -> Array:
    """0 where nothing was counted."""
    return jnp.where(count > 0, sums / jnp.where(count > 0, count, 1), 0)
