"""Flips and crops of images and clips that copy pixels: called as `op(rng, images)`, float32 in and out."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class RandomFlip:
    """Each image or clip mirrored left to right with probability 1/2."""

    def __call__(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        """[b, ..., H, W, C] to the same; all frames of a clip alike."""
        flip = jax.random.bernoulli(rng, shape=(len(images), *(1,) * (images.ndim - 1)))
        return jnp.where(flip, images[..., ::-1, :], images)


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """Padded by padding pixels on each side, then cut to the old size at a random place of its own per image.

    He et al. 2015 (arXiv 1512.03385, section 4.2) pad CIFAR by 4. mode is as in `jnp.pad`; constant pads with 0,
    which after Normalize is the mean colour.
    """

    padding: int = 4
    mode: Literal["constant", "reflect"] = "constant"

    def __post_init__(self) -> None:
        if self.padding < 0:
            raise UsageError(f"padding={self.padding}: expected at least 0")
        if self.mode not in ("constant", "reflect"):
            raise UsageError(f"mode={self.mode!r}: expected 'constant' or 'reflect'")

    def __call__(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        """[b, ..., H, W, C] to the same; all frames of a clip alike."""
        p = self.padding
        before = [(0, 0)] * (images.ndim - 3)
        padded = jnp.pad(images, (*before, (p, p), (p, p), (0, 0)), mode=self.mode)
        offsets = jax.random.randint(rng, (images.shape[0], 2), 0, 2 * p + 1)

        def crop(image: jax.Array, offset: jax.Array) -> jax.Array:
            start = (*(0,) * (image.ndim - 3), offset[0], offset[1], 0)
            return jax.lax.dynamic_slice(image, start, images.shape[1:])

        return jax.vmap(crop)(padded, offsets)
