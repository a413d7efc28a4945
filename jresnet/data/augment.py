"""Augmentation and normalisation on the device: pure functions of a batch, run inside the train step.

An augmentation is called as `op(rng, images)`, with float32 images [b, H, W, C] in and out.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Normalize:
    """(images / 255 - mean) / std, one mean and std per channel, on the scale of [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std) or not all(value > 0 for value in self.std):
            raise UsageError(
                f"mean={self.mean}, std={self.std}: expected as many of one as of the other, every std > 0"
            )

    def __call__(self, images: jax.Array) -> jax.Array:
        """uint8 [..., C] to float32 [..., C]; C must be len(mean), or len(mean) be 1."""
        mean, std = (
            jnp.asarray(self.mean, jnp.float32),
            jnp.asarray(self.std, jnp.float32),
        )
        return (images.astype(jnp.float32) / 255 - mean) / std


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
        colours = (drawn * jnp.asarray(self.variances)) @ jnp.asarray(self.axes)
        return images + (colours / jnp.asarray(self.std))[:, None, None, :].astype(images.dtype)


# The constants of torchvision (transforms of its ImageNet weights), which its published accuracies go with.
IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
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
# Of the 50,000 training images of the binary release; for other copies use `channel_statistics`.
CIFAR10 = Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


def channel_statistics(
    images: np.ndarray,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 [N, H, W, C], on the scale of [0, 1].

    Over all pixels of all images, and exact: computed from counts of the 256 values. A channel that never
    changes gets a standard deviation of 1, so that Normalize can divide by it.
    """
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[-1]):
        share = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        means.append(float(share @ values))
        stds.append(float(np.sqrt(share @ (values - means[-1]) ** 2)) or 1.0)
    return tuple(means), tuple(stds)
