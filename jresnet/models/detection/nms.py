"""Non-maximum suppression that gives exactly the greedy result, at any threshold."""

import jax
import jax.numpy as jnp
from jax import lax

from jresnet.models.detection.boxes import iou

Array = jax.Array


def nms(
    boxes: Array,
    scores: Array,
    threshold: float,
    valid: Array | None = None,
    classes: Array | None = None,
) -> Array:
    """Bool `[count]`: the boxes that stay, in the order in which they came.

    From the highest score down a box stays unless its IoU with one that stays is above
    `threshold`. Of equal scores the first goes first. With `classes` boxes suppress those of their
    own class alone, which is what an offset of the coordinates by class does, without its rounding.

    The matrix of all IoUs is computed, `count * count`, and a loop runs until the boxes that stay no
    longer change: as often as the longest chain of suppressions is long, seldom above ten.

    Args:
        boxes: float `[count, 4]`.
        scores: float `[count]`. A box whose score is NaN does not stay.
        threshold: IoU above which a box is suppressed.
        valid: bool `[count]`: others neither stay nor suppress. None: all.
        classes: int `[count]`. None: one class.
    """
    valid = usable(scores, valid)
    order = jnp.argsort(jnp.where(valid, -scores, jnp.inf), stable=True)
    ordered = boxes[order]
    rank = jnp.arange(len(order))
    over = (iou(ordered, ordered) > threshold) & (rank[:, None] < rank[None])
    if classes is not None:
        same = classes[order]
        over &= same[:, None] == same[None]
    start = valid[order]

    def step(state: tuple[Array, Array]) -> tuple[Array, Array]:
        stay, _ = state
        new = start & ~(over & stay[:, None]).any(0)
        return new, (new != stay).any()

    # The first box is settled from the start, and each pass settles all whose suppressors are.
    stay, _ = lax.while_loop(lambda state: state[1], step, (start, jnp.asarray(True)))
    return jnp.zeros_like(start).at[order].set(stay)


def best(
    boxes: Array,
    scores: Array,
    threshold: float,
    limit: int,
    valid: Array | None = None,
    classes: Array | None = None,
) -> tuple[Array, Array]:
    """The first `limit` boxes that `nms` keeps, by falling score: rows int32, valid bool `[limit]`.

    Takes them one after the other, `limit * count` IoUs and no matrix: for many boxes of which few
    are wanted, such as those of all classes. Arguments as in `nms`.
    """
    valid = usable(scores, valid)
    boxes, scores = jnp.asarray(boxes), jnp.where(valid, scores, -jnp.inf)

    def step(alive: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        row = jnp.argmax(jnp.where(alive, scores, -jnp.inf))
        taken = alive[row]
        over = iou(boxes[row][None], boxes)[0] > threshold
        if classes is not None:
            over &= classes == classes[row]
        alive = alive & ~over & (jnp.arange(len(scores)) != row)
        return alive, (row.astype(jnp.int32), taken)

    _, (rows, taken) = lax.scan(step, valid, None, length=limit)
    return rows, taken


def usable(scores: Array, valid: Array | None) -> Array:
    """Boxes that may stay: valid, with a score that is a number above minus infinity."""
    numbers = scores > -jnp.inf
    return numbers if valid is None else valid & numbers
