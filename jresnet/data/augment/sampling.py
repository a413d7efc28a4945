"""Pixels at places between them, of one array `[*size, channels]` of any rank; `fill` outside.

Coordinates are continuous: pixel i of an axis covers [i, i + 1]. `linear` and `nearest` take places
`[..., rank]`, the last axis first. `linear_along` and `nearest_along` take the coordinates along
each axis apart, `[side]` for the first axis, then the second: all their combinations are places.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def linear(image: Array, places: Array, fill: Any) -> Array:
    """Between the centres of the 2 ** rank nearest pixels: `[..., channels]`."""
    corner = jnp.floor(places - 0.5)
    share = places - 0.5 - corner
    result = jnp.zeros((*places.shape[:-1], image.shape[-1]), image.dtype)
    for offsets in range(2 ** places.shape[-1]):
        step = jnp.array([offsets >> axis & 1 for axis in range(places.shape[-1])])
        step = lax.broadcast_to_rank(step, places.ndim)
        weight = jnp.prod(jnp.where(step == 1, share, 1 - share), -1)
        values = _pick(image, (corner + step).astype(jnp.int32), fill)
        result += _weighed(values, weight[..., None])
    return result


def nearest(image: Array, places: Array, fill: Any) -> Array:
    """The pixel that each place lies in: `[..., channels]`."""
    return _pick(image, jnp.floor(places).astype(jnp.int32), fill)


def linear_along(image: Array, places: Sequence[Array], fill: Any) -> Array:
    """`linear` of all combinations of `places`: `[*sides, channels]`."""

    def along(axis: int, image: Array, places: Array) -> Array:
        corner = jnp.floor(places - 0.5)
        share = places - 0.5 - corner
        index = corner.astype(jnp.int32)
        parts = ((index, 1 - share), (index + 1, share))
        first, second = (
            _weighed(_take(image, place, axis, fill), _laid_along(weight, axis, image.ndim))
            for place, weight in parts
        )
        return first + second

    return _each_axis(along, image, places)


def nearest_along(image: Array, places: Sequence[Array], fill: Any) -> Array:
    """`nearest` of all combinations of `places`: `[*sides, channels]`."""

    def along(axis: int, image: Array, places: Array) -> Array:
        return _take(image, jnp.floor(places).astype(jnp.int32), axis, fill)

    return _each_axis(along, image, places)


def _each_axis(
    along: Callable[[int, Array, Array], Array], image: Array, places: Sequence[Array]
) -> Array:
    return functools.reduce(lambda x, each: along(each[0], x, each[1]), enumerate(places), image)


def _weighed(values: Array, weight: Array) -> Array:
    """Their product; a pixel with weight 0 may be infinite, or outside."""
    return jnp.where(weight > 0, weight * values, 0).astype(values.dtype)


def _laid_along(values: Array, axis: int, rank: int) -> Array:
    """`[side]` in the place of one axis of `rank`."""
    return values.reshape(*(-1 if each == axis else 1 for each in range(rank)))


def _take(image: Array, index: Array, axis: int, fill: Any) -> Array:
    """Slices of one axis at `index` `[side]`."""
    last = image.shape[axis] - 1
    inside = _laid_along((index >= 0) & (index <= last), axis, image.ndim)
    taken = jnp.take(image, jnp.clip(index, 0, last), axis, mode="clip")
    return jnp.where(inside, taken, jnp.asarray(fill, image.dtype))


def _pick(image: Array, index: Array, fill: Any) -> Array:
    """Pixels at `index` `[..., rank]`, the last axis first."""
    sides = image.shape[: index.shape[-1]]
    rows = [index[..., -1 - axis] for axis in range(len(sides))]
    inside = jnp.ones(index.shape[:-1], bool)
    for row, side in zip(rows, sides, strict=True):
        inside &= (row >= 0) & (row < side)
    clipped = tuple(jnp.clip(row, 0, side - 1) for row, side in zip(rows, sides, strict=True))
    return jnp.where(inside[..., None], image[clipped], jnp.asarray(fill, image.dtype))
