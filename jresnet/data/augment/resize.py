"""Bicubic resizing on the device as MATLAB's imresize or Pillow does it: a matrix for each axis.

A batch may hold pictures that are padded to one shape. The matrices then depend on each picture's
real size, so that its result is that of the picture alone.
"""

from fractions import Fraction
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Kind = Literal["matlab", "pillow"]


def matrix(
    length: Array | int, inputs: int, outputs: int, factor: Fraction, kind: Kind = "matlab"
) -> Array:
    """The weights of an axis, float32 `[outputs, inputs]`: row i is how pixel i is made.

    Bicubic with the coefficient -0.5 (Keys 1981), widened when it shrinks (antialiasing). MATLAB
    mirrors the picture at its edges, Pillow leaves out what lies beyond them.

    Args:
        length: pixels of the axis, at most `inputs`; the weights of others are 0. May be traced.
        inputs: pixels of the axis with padding.
        outputs: rows. Those from `ceil(length * factor)` on repeat the last real one.
        factor: the new size over the old one.
        kind: whose rules.
    """
    length = jnp.asarray(length, jnp.int32)
    top, bottom = factor.numerator, factor.denominator
    last = (length * top + bottom - 1) // bottom - 1
    row = jnp.minimum(jnp.arange(outputs), last)[:, None]
    column = jnp.arange(inputs)[None]
    # The middle of row i lies at ((2i + 1) / factor - 1) / 2. Whole numbers keep that exact.
    middle = (2 * row + 1) * bottom - top
    shrink = min(1.0, float(factor))

    def weight(place: Array) -> Array:
        return _cubic((middle - 2 * top * place).astype(jnp.float32) * (shrink / (2 * top)))

    if kind == "pillow":
        weights = weight(column)
    else:  # one mirror image after the other, on both sides
        turns = [2 * length * turn for turn in (-1, 0, 1)]
        each = [weight(place + turn) for turn in turns for place in (column, -1 - column)]
        weights = sum(each[1:], each[0])
    weights = jnp.where(column < length, weights, 0.0)
    return weights / weights.sum(1, keepdims=True)


def _cubic(x: Array) -> Array:
    x = jnp.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return jnp.where(x <= 1, near, jnp.where(x < 2, far, 0.0))


def resize(
    images: Array,
    factor: Fraction,
    kind: Kind = "matlab",
    sizes: Array | None = None,
    rounded: bool = True,
) -> Array:
    """Pictures `[batch, H, W, channels]` of 0 to 255, float32 and `factor` times as large.

    Args:
        images: of any real type.
        factor: the new size over the old one; sizes are rounded up.
        kind: whose rules.
        sizes: int `[batch, 2]`, height and width of each picture, the rest of which is padding and
            not read. What lies beyond a result repeats its last row and column.
        rounded: to whole numbers from 0 to 255, as in a file. Pillow rounds between the axes too.
    """
    x = images.astype(jnp.float32)
    height, width = x.shape[1:3]
    new = [-(-side * factor.numerator // factor.denominator) for side in (height, width)]

    def axis(number: int, side: int) -> Array:
        if sizes is None:
            return matrix(side, side, new[number], factor, kind)[None]
        return jax.vmap(lambda length: matrix(length, side, new[number], factor, kind))(
            sizes[:, number]
        )

    rows, columns = axis(0, height), axis(1, width)
    exact = lax.Precision.HIGHEST
    shared = "z" if sizes is None else "b"  # one matrix for all, or one for each
    across, down = f"{shared}jw,bhwc->bhjc", f"{shared}ih,bhwc->biwc"
    if sizes is None:
        rows, columns, across, down = rows[0], columns[0], across[1:], down[1:]
    x = jnp.einsum(across, columns, x, precision=exact)
    x = as_bytes(x) if rounded and kind == "pillow" else x
    x = jnp.einsum(down, rows, x, precision=exact)
    return as_bytes(x) if rounded else x


def as_bytes(x: Array) -> Array:
    """The nearest whole numbers from 0 to 255, halves up, as floats."""
    return jnp.clip(jnp.floor(x + 0.5), 0, 255)
