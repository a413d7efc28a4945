"""A fixed number of candidates, drawn at random, for a loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


class Sample(NamedTuple):
    """Candidates of one image, positives first.

    - rows: which candidates, int32 `[size]`. Rows that are not valid repeat the valid ones.
    - positive: bool `[size]`.
    - valid: bool `[size]`; False where there are too few candidates.
    """

    rows: Array
    positive: Array
    valid: Array


def sample(key: Array, matched: Array, size: int, share: float) -> Sample:
    """At most `share` of `size` positives, and negatives in all other places.

    As torchvision's balanced sampler: missing positives are replaced by negatives, missing
    negatives by nothing.

    Args:
        key: of this image: fold its index in, so that the draw does not depend on the batch.
        matched: `matching.match`, int `[candidates]`: positive from 0 on, negative at -1.
        size: number of candidates.
        share: largest share of positives, 0 to 1.
    """
    # Both draws need `size` places, whatever the number of candidates.
    short = max(size - len(matched), 0)
    matched = jnp.pad(matched, (0, short), constant_values=-2)
    priority = jax.random.uniform(key, matched.shape)
    positives, negatives = matched >= 0, matched == -1
    most = int(size * share)
    chosen = jnp.minimum(positives.sum(), most)
    others = jnp.minimum(negatives.sum(), size - chosen)
    first = lax.top_k(jnp.where(positives, priority, -1), size)[1]
    second = lax.top_k(jnp.where(negatives, priority, -1), size)[1]
    place = jnp.arange(size)
    count = chosen + others
    valid = place < count
    place = place % jnp.maximum(count, 1)
    rows = jnp.where(place < chosen, first[place], second[jnp.maximum(place - chosen, 0)])
    rows = jnp.where(count > 0, rows, 0)
    return Sample(rows, (place < chosen) & valid, valid)
