"""Matches of anchors and proposals with objects."""

import jax
import jax.numpy as jnp

Array = jax.Array

BACKGROUND, BETWEEN = -1, -2


def match(
    overlaps: Array,
    targets: Array,
    *,
    low: float,
    high: float,
    allow_low_quality: bool = False,
    candidates: Array | None = None,
) -> Array:
    """The target of each candidate, int32 `[candidates]`; -1 is background, -2 neither.

    A candidate is matched to the target of its largest overlap where this is at least `high`, is
    background below `low`, and neither between. With `allow_low_quality` each target keeps the
    candidates of its own largest overlap, ties included; they are matched to the target of *their*
    largest overlap, as in torchvision.

    Deviation from torchvision: a target that overlaps with nothing keeps no candidate; there it
    keeps all that overlap with no target.

    Args:
        overlaps: IoU, float `[targets, candidates]`.
        targets: which targets are real, bool `[targets]`; padding is matched to nothing.
        low: IoU below which a candidate is background.
        high: IoU from which a candidate is matched.
        allow_low_quality: as above, for anchors (arXiv:1506.01497, section 3.1.2).
        candidates: which candidates are real, bool `[candidates]`; padding is -2. None: all.
    """
    overlaps = jnp.where(targets[:, None] & (overlaps >= 0), overlaps, -1)
    best, largest = overlaps.argmax(0).astype(jnp.int32), overlaps.max(0)
    matched = jnp.where(largest >= high, best, jnp.where(largest >= low, BETWEEN, BACKGROUND))
    if allow_low_quality:
        highest = overlaps.max(1, keepdims=True)
        kept = ((overlaps == highest) & (highest > 0)).any(0)
        matched = jnp.where(kept, best, matched)
    return matched if candidates is None else jnp.where(candidates, matched, BETWEEN)
