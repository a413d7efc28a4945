"""The eight ways to lay a square picture on itself: mirror images and quarter turns."""

import jax
import jax.numpy as jnp

Array = jax.Array
COUNT = 8


def turned(images: Array, number: int) -> Array:
    """`[batch, H, W, ...]` laid in one of `COUNT` ways; odd ones from 1 on exchange the two sides.

    Way 0 is as it is. Bit 1 of `number` exchanges rows and columns, bit 2 mirrors rows, bit 4 columns.
    """
    images = images.swapaxes(1, 2) if number & 1 else images
    images = images[:, ::-1] if number & 2 else images
    return images[:, :, ::-1] if number & 4 else images


def returned(images: Array, number: int) -> Array:
    """The inverse of `turned`."""
    images = images[:, :, ::-1] if number & 4 else images
    images = images[:, ::-1] if number & 2 else images
    return images.swapaxes(1, 2) if number & 1 else images


def randomly_turned(rng: Array, images: Array) -> Array:
    """Square pictures `[batch, side, side, ...]`, each in one of the eight ways."""
    shape = (len(images), *(1,) * (images.ndim - 1))
    exchanged, rows, columns = (
        jax.random.bernoulli(key, shape=shape) for key in jax.random.split(rng, 3)
    )
    images = jnp.where(exchanged, images.swapaxes(1, 2), images)
    images = jnp.where(rows, images[:, ::-1], images)
    return jnp.where(columns, images[:, :, ::-1], images)
