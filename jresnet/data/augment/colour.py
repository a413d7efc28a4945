"""Colour of normalised images, changed on the device: called as `op(rng, images)`, float32 in and out."""

import dataclasses

import jax
import jax.numpy as jnp

from jresnet.data.normalisation import IMAGENET


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
