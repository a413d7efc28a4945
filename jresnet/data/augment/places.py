"""Random augmentations of place, each a `Warp`: flips, crops, scales, rotations.

Each is called as `op(rng, count, size)`; `geometry.chain` makes one warp of several.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jresnet.data.augment.geometry import Array, Size, Warp, identity
from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Flip:
    """The last spatial axis mirrored with probability `probability`."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        _check_share("probability", self.probability)

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        still = identity(count, size).matrix
        flipped = still.at[:, 0, 0].set(-1.0).at[:, 0, -1].set(float(size[-1]))
        chosen = jax.random.bernoulli(rng, self.probability, (count, 1, 1))
        return Warp(jnp.where(chosen, flipped, still), size)


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part of `size` at a random whole pixel; where the source is smaller, its place in the part."""

    size: Size

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        if len(self.size) != len(size):
            raise UsageError(
                f"size={self.size}: expected {len(size)} numbers, the images have {size}"
            )
        room = jnp.asarray([s - c for s, c in zip(size, self.size, strict=True)][::-1], jnp.float32)
        low, high = jnp.minimum(room, 0)[None], jnp.maximum(room, 0)[None]
        drawn = jax.random.uniform(rng, (count, len(size)))
        start = low + jnp.floor(drawn * (high - low + 1))
        matrix = identity(count, self.size).matrix.at[..., -1].set(start)
        return Warp(matrix, self.size)


@dataclasses.dataclass(frozen=True)
class Scale:
    """About the middle, by a factor drawn between `low` and `high`, log-uniform; the size stays."""

    low: float = 0.5
    high: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high:
            raise UsageError(f"low={self.low}, high={self.high}: expected 0 < low <= high")

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        span = jnp.log(jnp.asarray([self.low, self.high]))
        factor = jnp.exp(jax.random.uniform(rng, (count,), minval=span[0], maxval=span[1]))
        linear = jnp.eye(len(size))[None] / factor[:, None, None]
        return _about_the_middle(linear, size)


@dataclasses.dataclass(frozen=True)
class Rotate:
    """About the middle of the last two axes, by up to `degrees` either way."""

    degrees: float = 10.0

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        angle = jnp.deg2rad(jax.random.uniform(rng, (count,), minval=-1, maxval=1) * self.degrees)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        turn = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
        linear = jnp.broadcast_to(jnp.eye(len(size)), (count, len(size), len(size)))
        return _about_the_middle(linear.at[:, :2, :2].set(turn), size)


def _about_the_middle(linear: Array, size: Size) -> Warp:
    middle = jnp.asarray(size[::-1], jnp.float32)[:, None] / 2
    return Warp(jnp.concatenate([linear, middle[None] - linear @ middle], -1), size)


def _check_share(field: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{field}={value}: expected 0 to 1")
