"""Colour, changed on the device: called as `op(rng, images)`, float32 `[b, H, W, C]` in and out."""

import dataclasses

import jax
import jax.numpy as jnp

from jresnet.data.normalisation import IMAGENET
from jresnet.errors import UsageError

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclasses.dataclass(frozen=True)
class ColourNoise:
    """Noise along the principal axes of the colours of normalised images (Krizhevsky et al. 2012, section 4.1).

    Each image gets the sum of the axes (rows of `axes`, colours on the scale of [0, 1]), each times its own normal
    number of deviation 0.1 times the root of the variance along it; `std` is that of the normalisation.
    """

    variances: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    std: tuple[float, ...]
    strength: float = 0.1

    def __call__(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        """[b, H, W, C] to the same."""
        drawn = self.strength * jax.random.normal(rng, (len(images), len(self.variances)))
        colours = (drawn * jnp.asarray(self.variances)[None]) @ jnp.asarray(self.axes)
        return images + (colours / jnp.asarray(self.std)[None])[:, None, None, :].astype(
            images.dtype
        )


# Roots of the variances and axes of ImageNet's colours, as fb.resnet.torch has them.
PCA_IMAGENET = ColourNoise(
    variances=(0.2175, 0.0188, 0.0045),
    axes=(
        (-0.5675, -0.5808, -0.5836),
        (0.7192, -0.0045, -0.6948),
        (0.4009, -0.8140, 0.4203),
    ),
    std=IMAGENET.std,
)


@dataclasses.dataclass(frozen=True)
class ColourJitter:
    """Brightness, contrast and saturation of images in [0, 255], each by a factor for each image.

    A factor is drawn between 1 - x and 1 + x. Contrast moves values away from the image's mean,
    saturation away from the pixel's grey value, which leaves grey images as they are. As in
    torchvision's `ColorJitter`, but always in this order.
    """

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}={getattr(self, name)}: expected 0 to 1")

    def __call__(self, rng: jax.Array, images: jax.Array) -> jax.Array:
        spread = jnp.asarray([self.brightness, self.contrast, self.saturation], images.dtype)
        drawn = jax.random.uniform(rng, (len(images), 3), images.dtype, -1.0, 1.0)
        return jax.vmap(adjusted)(images, 1 + spread[None] * drawn)


def adjusted(image: jax.Array, factors: jax.Array) -> jax.Array:
    """Brightness, contrast, saturation of an image `[*spatial, channels]` times `factors` `[3]`."""
    image = _clipped(image * factors[0])
    mean = jnp.mean(_grey(image))
    image = _clipped(mean + (image - mean) * factors[1])
    grey = _grey(image)
    return _clipped(grey + (image - grey) * factors[2])


def _grey(image: jax.Array) -> jax.Array:
    """`[*spatial, 1]` of RGB; others are grey."""
    return image @ jnp.asarray(_LUMA, image.dtype)[:, None] if image.shape[-1] == 3 else image


def _clipped(image: jax.Array) -> jax.Array:
    return jnp.clip(image, 0.0, 255.0)
