"""Intensity of images and volumes changed at random, on the device, at any rank.

Each is called as `op(rng, images)` with floats `[batch, *spatial, channels]`, on any scale, and
draws for every example by itself whether it is changed, and how. Channels are changed alike.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jresnet.errors import UsageError

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Gain:
    """Every value times a factor between `low` and `high`."""

    low: float = 0.75
    high: float = 1.25
    probability: float = 0.15

    def __post_init__(self) -> None:
        _check(self.probability, self.low, self.high)

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, *spatial, channels]` to the same."""
        factor = _drawn(rng, images, self.probability, self.low, self.high, 1.0)
        return images * factor


@dataclasses.dataclass(frozen=True)
class Offset:
    """A number between -`most` and `most` added to every value."""

    most: float = 0.1
    probability: float = 0.15

    def __post_init__(self) -> None:
        _check(self.probability, -self.most, self.most)

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, *spatial, channels]` to the same."""
        return images + _drawn(rng, images, self.probability, -self.most, self.most, 0.0)


@dataclasses.dataclass(frozen=True)
class Noise:
    """Normal noise, whose variance is drawn between 0 and `variance`."""

    variance: float = 0.1
    probability: float = 0.1

    def __post_init__(self) -> None:
        _check(self.probability, 0.0, self.variance)

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, *spatial, channels]` to the same."""
        draw, normal = jax.random.split(rng)
        variance = _drawn(draw, images, self.probability, 0.0, self.variance, 0.0)
        return images + jnp.sqrt(variance) * jax.random.normal(normal, images.shape, images.dtype)


@dataclasses.dataclass(frozen=True)
class Gamma:
    """The range of each example, taken as 0 to 1, to a power between `low` and `high`.

    The smallest and the largest value stay. `inverted` raises one minus the values.
    """

    low: float = 0.7
    high: float = 1.5
    probability: float = 0.3
    inverted: bool = False

    def __post_init__(self) -> None:
        _check(self.probability, self.low, self.high)
        if self.low <= 0:
            raise UsageError(f"low={self.low}: expected above 0")

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, *spatial, channels]` to the same."""
        power = _drawn(rng, images, self.probability, self.low, self.high, 1.0)
        axes = tuple(range(1, images.ndim))
        low, high = (f(images, axes, keepdims=True) for f in (jnp.min, jnp.max))
        wide = jnp.maximum(high - low, 1e-8)
        share = jnp.clip((images - low) / wide, 0, 1)
        share = 1 - (1 - share) ** power if self.inverted else share**power
        return jnp.where(power == 1, images, low + wide * share)


def _drawn(
    rng: Array, images: Array, probability: float, low: float, high: float, neutral: float
) -> Array:
    """A number an example, `[batch, 1, ..., 1]`: uniform with that probability, else `neutral`."""
    chance, value = jax.random.split(rng)
    shape = (len(images), *(1,) * (images.ndim - 1))
    drawn = jax.random.uniform(value, shape, images.dtype, low, high)
    return jnp.where(jax.random.bernoulli(chance, probability, shape), drawn, neutral)


def _check(probability: float, low: float, high: float) -> None:
    if not 0 <= probability <= 1:
        raise UsageError(f"probability={probability}: expected 0 to 1")
    if low > high:
        raise UsageError(f"low={low}, high={high}: expected low <= high")
