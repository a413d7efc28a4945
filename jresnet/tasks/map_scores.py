"""Scores of label maps, from confusion matrices that add up over images, devices and batches."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.augment.geometry import IGNORED
from jresnet.tasks.base import Array, Batch, Metrics, total


def counted_pixels(batch: Batch) -> Array:
    """Whether each pixel of `batch["map"]` has a label and stands in a real row, bool."""
    labels = batch["map"]
    counted = labels != IGNORED
    if "valid" in batch:
        counted &= batch["valid"].reshape(-1, *(1,) * (labels.ndim - 1)) > 0
    return counted


def labelled(logits: Array, batch: Batch) -> tuple[Array, Array]:
    """`labels` and `counted` of `logits` `[batch, *size, classes]`, as `map_losses` take them.

    `batch["map"]` may be larger than the logits, as with deep supervision: it is read at the
    centre of each of their pixels.
    """
    labels, counted = batch["map"], counted_pixels(batch)
    for axis, (large, small) in enumerate(
        zip(labels.shape[1:], logits.shape[1:-1], strict=True), 1
    ):
        if large != small:
            places = np.floor((np.arange(small) + 0.5) * large / small).astype(int)
            labels, counted = (jnp.take(x, places, axis) for x in (labels, counted))
    if logits.shape[-1] == 1:  # one sigmoid: class 1 or class 0
        labels, counted = (labels == 1)[..., None], counted[..., None]
    return labels, counted


def classes_of(logits: Array) -> Array:
    """The likeliest class of each pixel: uint8, or int32 where it can be above 254."""
    classes = logits.shape[-1]
    if classes == 1:
        return (logits[..., 0] > 0).astype(jnp.uint8)
    return logits.argmax(-1).astype(jnp.uint8 if classes <= IGNORED else jnp.int32)


def confusion_matrices(logits: Array, batch: Batch) -> Array:
    """Counted pixels of each image by true class (row) and predicted one, uint32 `[batch, n, n]`.

    A map's pixel of a class that the net does not have counts for nothing.
    """
    count = max(2, logits.shape[-1])
    labels = batch["map"].astype(jnp.int32)
    counted = counted_pixels(batch) & (labels >= 0) & (labels < count)
    cell = jnp.where(counted, labels * count + classes_of(logits).astype(jnp.int32), count * count)

    def counts(cells: Array) -> Array:
        zeros = jnp.zeros(count * count, jnp.uint32)
        return zeros.at[cells.reshape(-1)].add(1, mode="drop").reshape(count, count)

    return jax.vmap(counts)(cell)


def map_metrics(logits: Array, batch: Batch) -> Metrics:
    """`confusion`, exact up to 2 ** 32 pixels a cell of a batch, and `examples`."""
    confusion = jnp.sum(confusion_matrices(logits, batch), 0)
    examples, _ = total(jnp.ones(len(logits)), batch.get("valid"))
    return {"confusion": (confusion, jnp.ones(())), "examples": (examples, jnp.ones(()))}


def mean_iou(confusion: Array) -> Array:
    """Mean IoU over the classes that occur in the truth; nan if none does."""
    counts = confusion.astype(jnp.float32)
    hit, true, predicted = jnp.diag(counts), counts.sum(1), counts.sum(0)
    occurs = true > 0
    iou = hit / jnp.maximum(true + predicted - hit, 1)
    return jnp.sum(iou * occurs) / jnp.sum(occurs)


def scores_of(confusion: np.ndarray, classes: Sequence[str] = ()) -> dict[str, float]:
    """The scores of a split from its confusion matrix, `[classes, classes]`, rows the truth.

    A class that occurs neither in truth nor prediction has no IoU and no Dice, and is left out of
    their means: `mean_iou`, `mean_dice`. `mean_accuracy` is over the classes in the truth.
    """
    counts = np.asarray(confusion, np.float64)
    hit, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)
    met = true + predicted > 0
    iou = hit[met] / (true + predicted - hit)[met]
    dice = 2 * hit[met] / (true + predicted)[met]
    accuracy = hit[true > 0] / true[true > 0]
    names = [classes[i] if i < len(classes) else str(i) for i in np.flatnonzero(met).tolist()]
    scores = {
        "mean_iou": _mean(iou),
        "mean_dice": _mean(dice),
        "pixel_accuracy": float(hit.sum() / counts.sum()) if counts.sum() else float("nan"),
        "mean_accuracy": _mean(accuracy),
    }
    scores |= {f"iou/{name}": float(value) for name, value in zip(names, iou, strict=True)}
    return scores | {f"dice/{name}": float(value) for name, value in zip(names, dice, strict=True)}


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
