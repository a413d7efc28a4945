"""RandAugment and TrivialAugment on the device.

Called as `op(rng, pixels)` with float32 pixels [b, H, W, 1 or 3] on the scale of [0, 255], before
they are normalised. The fourteen operations, their strengths in 31 bins and their nearest-pixel
sampling are those of torchvision's classes of these names; values are cut to whole numbers after
each operation, as bytes would be.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.errors import UsageError

Array = jax.Array
BINS = 31


@dataclasses.dataclass(frozen=True)
class Strengths:
    """The largest strength of each kind: fractions, degrees, bits; `translate` a share of the side or pixels."""

    shear: float
    translate: float
    rotate: float
    blend: float
    bits: int
    translate_in_pixels: bool


RAND = Strengths(0.3, 150 / 331, 30.0, 0.9, 4, translate_in_pixels=False)
TRIVIAL = Strengths(0.99, 32.0, 135.0, 0.99, 6, translate_in_pixels=True)


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """`operations` operations an image, each drawn from all, at one strength, 0 to 30.

    Cubuk et al. 2019 (arXiv:1909.13719, section 3).
    """

    operations: int = 2
    magnitude: int = 9

    def __post_init__(self) -> None:
        if not 0 <= self.magnitude < BINS:
            raise UsageError(f"magnitude={self.magnitude}: expected 0 to {BINS - 1}")
        if self.operations < 1:
            raise UsageError(f"operations={self.operations}: expected at least 1")

    def __call__(self, rng: Array, pixels: Array) -> Array:
        level = self.magnitude / (BINS - 1)

        def one(rng: Array, image: Array) -> Array:
            keys = jax.random.split(rng, self.operations)

            def again(image: Array, key: Array) -> tuple[Array, None]:
                return random_operation(key, image, jnp.asarray(level), RAND), None

            return jax.lax.scan(again, image, keys)[0]  # compiled once, not once an operation

        return jax.vmap(one)(jax.random.split(rng, len(pixels)), jnp.floor(pixels))


@dataclasses.dataclass(frozen=True)
class TrivialAugment:
    """One operation an image, at a strength drawn anew: TrivialAugment Wide.

    Mueller & Hutter 2021 (arXiv:2103.10158, section 3).
    """

    def __call__(self, rng: Array, pixels: Array) -> Array:
        def one(rng: Array, image: Array) -> Array:
            draw, key = jax.random.split(rng)
            level = jax.random.randint(draw, (), 0, BINS) / (BINS - 1)
            return random_operation(key, image, level, TRIVIAL)

        return jax.vmap(one)(jax.random.split(rng, len(pixels)), jnp.floor(pixels))


def random_operation(rng: Array, image: Array, level: Array, strengths: Strengths) -> Array:
    """One of the fourteen, chosen at random, at `level` in [0, 1] of its strength, either way."""
    choice, side = jax.random.split(rng)
    number = jax.random.randint(choice, (), 0, len(OPERATIONS))
    sign = jax.random.rademacher(side, (), jnp.float32)
    branches = [
        lambda image, level, sign, operation=operation: operation(image, level, sign, strengths)
        for operation in OPERATIONS.values()
    ]
    return jnp.floor(jnp.clip(jax.lax.switch(number, branches, image, level, sign), 0, 255))


def warp(image: Array, matrix: Array) -> Array:
    """`image` [H, W, C] where pixel (x, y) is the source's nearest to `matrix` [2, 3] (x, y, 1); black outside."""
    height, width = image.shape[:2]
    y, x = jnp.mgrid[:height, :width] + 0.5
    sources = jnp.tensordot(matrix, jnp.stack([x, y, jnp.ones_like(x)]), 1)
    columns, rows = jnp.floor(sources).astype(jnp.int32)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    nearest = image[jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)]
    return jnp.where(inside[..., None], nearest, 0)


def shear_x(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """About the upper left corner."""
    shear = sign * level * strengths.shear
    return warp(image, jnp.array([[1.0, shear, 0.0], [0.0, 1.0, 0.0]]))


def shear_y(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """About the upper left corner."""
    shear = sign * level * strengths.shear
    return warp(image, jnp.array([[1.0, 0.0, 0.0], [shear, 1.0, 0.0]]))


def _pixels(level: Array, sign: Array, strengths: Strengths, side: int) -> Array:
    unit = 1 if strengths.translate_in_pixels else side
    return sign * jnp.floor(level * strengths.translate * unit)


def translate_x(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """By whole pixels."""
    shift = _pixels(level, sign, strengths, image.shape[1])
    return warp(image, jnp.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0]]))


def translate_y(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """By whole pixels."""
    shift = _pixels(level, sign, strengths, image.shape[0])
    return warp(image, jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, shift]]))


def rotate(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """About the middle, degrees counter-clockwise where sign is 1."""
    angle = jnp.deg2rad(sign * level * strengths.rotate)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = image.shape[1] / 2, image.shape[0] / 2
    return warp(
        image,
        jnp.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]]),
    )


def blend(degenerate: Array, image: Array, level: Array, sign: Array, s: Strengths) -> Array:
    """From `degenerate` (factor 0) through the image (1) and beyond."""
    factor = 1 + sign * level * s.blend
    return jnp.clip(degenerate + factor * (image - degenerate), 0, 255)


def grey(image: Array) -> Array:
    """Luma [H, W, 1] in whole numbers, by Rec. 601 as Pillow has it."""
    if image.shape[-1] == 1:
        return image
    return jnp.floor(image @ jnp.array([[0.299], [0.587], [0.114]]) + 0.5)


def brightness(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    return blend(jnp.zeros_like(image), image, level, sign, strengths)


def colour(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    return blend(jnp.broadcast_to(grey(image), image.shape), image, level, sign, strengths)


def contrast(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    mean = jnp.floor(grey(image).mean() + 0.5)
    return blend(jnp.full_like(image, mean), image, level, sign, strengths)


def sharpness(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """Against the image smoothed by 3x3 weights of 1 around 5; the border stays."""
    height, width = image.shape[:2]
    near = sum(
        image[y : height - 2 + y, x : width - 2 + x] * (5 if (y, x) == (1, 1) else 1)
        for y, x in np.ndindex(3, 3)
    )
    smooth = image.at[1:-1, 1:-1].set(jnp.floor(near / 13 + 0.5))
    return blend(smooth, image, level, sign, strengths)


def posterize(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """Down to 8 - `bits` bits."""
    step = 2.0 ** jnp.round(level * strengths.bits)
    return jnp.floor(image / step) * step


def solarize(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """Inverted from a threshold on, which falls from 255 to 0."""
    return jnp.where(image >= 255 * (1 - level), 255 - image, image)


def autocontrast(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """Each channel stretched to [0, 255]; one of a single value stays."""
    low, high = image.min((0, 1), keepdims=True), image.max((0, 1), keepdims=True)
    stretched = (image - low) * (255 / jnp.maximum(high - low, 1))
    return jnp.where(high > low, stretched, image)


def equalize(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    """Each channel's histogram made even, in whole numbers as Pillow does."""

    def channel(values: Array) -> Array:
        index = values.astype(jnp.int32)
        counts = jnp.zeros(256, jnp.int32).at[index.ravel()].add(1)
        step = (counts.sum() - counts[index.max()]) // 255
        table = jnp.minimum((step // 2 + jnp.cumsum(counts) - counts) // jnp.maximum(step, 1), 255)
        return jnp.where(step > 0, table[index].astype(values.dtype), values)

    return jax.vmap(channel, -1, -1)(image)


def identity(image: Array, level: Array, sign: Array, strengths: Strengths) -> Array:
    return image


Operation = Callable[[Array, Array, Array, Strengths], Array]
OPERATIONS: dict[str, Operation] = {
    function.__name__: function
    for function in (
        identity, shear_x, shear_y, translate_x, translate_y, rotate, brightness, colour,
        contrast, sharpness, posterize, solarize, autocontrast, equalize,
    )
}  # fmt: skip
