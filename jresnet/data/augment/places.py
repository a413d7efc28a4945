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
    """A spatial axis, by default the last, mirrored with probability `probability`."""

    probability: float = 0.5
    axis: int = -1

    def __post_init__(self) -> None:
        _check_share("probability", self.probability)

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        still = identity(count, size).matrix
        row = _coordinate(self.axis, size)
        flipped = still.at[:, row, row].set(-1.0).at[:, row, -1].set(float(size[self.axis]))
        chosen = jax.random.bernoulli(rng, self.probability, (count, 1, 1))
        return Warp(jnp.where(chosen, flipped, still), size, aligned=True)


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
        return Warp(matrix, self.size, aligned=True)


@dataclasses.dataclass(frozen=True)
class Scale:
    """About the middle, by a factor drawn between `low` and `high`, log-uniform; the size stays.

    With probability `probability`.
    """

    low: float = 0.5
    high: float = 2.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        _check_share("probability", self.probability)
        if not 0 < self.low <= self.high:
            raise UsageError(f"low={self.low}, high={self.high}: expected 0 < low <= high")

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        span = jnp.log(jnp.asarray([self.low, self.high]))
        drawn = jax.random.uniform(rng, (count,), minval=span[0], maxval=span[1])
        factor = jnp.exp(_at_times(rng, drawn, self.probability))
        linear = jnp.eye(len(size))[None] / factor[:, None, None]
        return _about_the_middle(linear, size, aligned=True)


@dataclasses.dataclass(frozen=True)
class Rotate:
    """About the middle of the plane of two axes, by up to `degrees` either way.

    With probability `probability`; the axes are by default the last two.
    """

    degrees: float = 10.0
    axes: tuple[int, int] = (-1, -2)
    probability: float = 1.0

    def __post_init__(self) -> None:
        _check_share("probability", self.probability)

    def __call__(self, rng: Array, count: int, size: Size) -> Warp:
        drawn = jax.random.uniform(rng, (count,), minval=-1, maxval=1)
        angle = jnp.deg2rad(_at_times(rng, drawn, self.probability) * self.degrees)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        x, y = (_coordinate(axis, size) for axis in self.axes)
        linear = jnp.broadcast_to(jnp.eye(len(size)), (count, len(size), len(size)))
        linear = linear.at[:, x, x].set(cos).at[:, x, y].set(-sin)
        return _about_the_middle(linear.at[:, y, x].set(sin).at[:, y, y].set(cos), size)


def _at_times(rng: Array, drawn: Array, probability: float) -> Array:
    """Each of `drawn` [count] with that probability, else 0."""
    if probability == 1:
        return drawn
    return drawn * jax.random.bernoulli(jax.random.fold_in(rng, 1), probability, drawn.shape)


def _coordinate(axis: int, size: Size) -> int:
    """The place of a spatial axis among coordinates, which begin with the last axis."""
    if not -len(size) <= axis < len(size):
        raise UsageError(f"axis={axis}: expected one of {len(size)} axes")
    return len(size) - 1 - axis % len(size)


def _about_the_middle(linear: Array, size: Size, aligned: bool = False) -> Warp:
    middle = jnp.asarray(size[::-1], jnp.float32)[:, None] / 2
    return Warp(jnp.concatenate([linear, middle[None] - linear @ middle], -1), size, aligned)


def _check_share(field: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{field}={value}: expected 0 to 1")
