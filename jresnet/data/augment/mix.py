"""Images of a batch mixed in pairs on the device, inside the train step.

A mix is called as `op(rng, images)` with float images `[b, H, W, C]` and says what became of them:
the task mixes the targets alike, whatever they are. Partners are the batch in a random order; one
ratio is drawn for the whole batch, as the papers' code does.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jresnet.errors import UsageError


class Mixed(NamedTuple):
    """Images, the number `[b]` of each one's partner in the batch, and the partner's share."""

    images: jax.Array
    partner: jax.Array
    share: jax.Array

    def targets(self, targets: jax.Array) -> jax.Array:
        """`[b, ...]` mixed as the images were."""
        return (1 - self.share) * targets + self.share * targets[self.partner]


Mix = Callable[[jax.Array, jax.Array], Mixed]


@dataclasses.dataclass(frozen=True)
class Mixup:
    """lam x + (1 - lam) x' with lam from Beta(alpha, alpha).

    Zhang et al. 2017 (arXiv:1710.09412, section 2).
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def __call__(self, rng: jax.Array, images: jax.Array) -> Mixed:
        ratio, order = jax.random.split(rng)
        share = jax.random.beta(ratio, self.alpha, self.alpha)
        partner = jax.random.permutation(order, len(images))
        return Mixed((1 - share) * images + share * images[partner], partner, share)


@dataclasses.dataclass(frozen=True)
class CutMix:
    """A box of the partner pasted into each image.

    Yun et al. 2019 (arXiv:1905.04899, section 3.1): the box has the image's proportions and the
    area 1 - lam, lam from Beta(alpha, alpha), its centre anywhere; what falls outside is cut off
    and the share counted afresh.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def __call__(self, rng: jax.Array, images: jax.Array) -> Mixed:
        ratio, order, place = jax.random.split(rng, 3)
        height, width = images.shape[1:3]
        side = jnp.sqrt(1 - jax.random.beta(ratio, self.alpha, self.alpha))
        size = jnp.array([height, width])
        centre = jax.random.randint(place, (2,), 0, size)
        half = (side * size).astype(jnp.int32) // 2
        low, high = jnp.maximum(centre - half, 0), jnp.minimum(centre + half, size)
        rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None]
        inside = (rows >= low[0]) & (rows < high[0]) & (columns >= low[1]) & (columns < high[1])
        partner = jax.random.permutation(order, len(images))
        mixed = jnp.where(inside[..., None], images[partner], images)
        return Mixed(mixed, partner, inside.mean(dtype=images.dtype))


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of several mixes for each batch, with equal chances."""

    mixes: tuple[Mix, ...]

    def __call__(self, rng: jax.Array, images: jax.Array) -> Mixed:
        choice, key = jax.random.split(rng)
        number = jax.random.randint(choice, (), 0, len(self.mixes))
        return jax.lax.switch(number, self.mixes, key, images)


def _check_alpha(alpha: float) -> None:
    if alpha <= 0:
        raise UsageError(f"alpha={alpha}: expected more than 0")
