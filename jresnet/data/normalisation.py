"""Normalisation of images by the statistics of a data set."""

import dataclasses
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jresnet.errors import UsageError

Statistics = Literal["imagenet", "cifar10", "dataset"]


class Normalizes(Protocol):
    """Data that know their own statistics."""

    def normalize(self) -> "Normalize": ...


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
            lax.broadcast_to_rank(jnp.asarray(values, jnp.float32), images.ndim)
            for values in (self.mean, self.std)
        )
        return (images.astype(jnp.float32) / 255 - mean) / std


@dataclasses.dataclass(frozen=True)
class Prepared:
    """Images that were normalised on the host already, each by itself, such as volumes."""

    def __call__(self, images: jax.Array) -> jax.Array:
        """Any numbers [..., C] to float32 of the same values."""
        return images.astype(jnp.float32)


# The constants of torchvision (transforms of its ImageNet weights), which its published accuracies go with.
IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
# The constants of torchvision's nets for clips, which its published accuracies go with.
KINETICS = Normalize((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))
# Of the 50,000 training images of the binary release; for other copies use `channel_statistics`.
CIFAR10 = Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))


@dataclasses.dataclass(frozen=True)
class OfEachPicture:
    """uint8 [b, ..., C] less each picture's mean, over its standard deviation and `more`, float32.

    So the noise of an even picture stays small.
    """

    more: float = 8.0

    def __call__(self, images: jax.Array) -> jax.Array:
        """Float images in [0, 255] are taken as well."""
        pixels = images.astype(jnp.float32)
        axes = tuple(range(1, pixels.ndim))
        moved = pixels - jnp.mean(pixels, axes, keepdims=True)
        return moved / (jnp.std(moved, axes, keepdims=True) + self.more)


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


def normalisation(statistics: Statistics, data: Normalizes, channels: int) -> Normalize:
    """The normalisation for a net of `channels` input channels; grey images become as many as it takes.

    Raises UsageError for published statistics of three channels and another net, and for images
    that do not fit it.
    """
    if statistics == "dataset":
        chosen = data.normalize()
        if len(chosen.mean) == 1:
            chosen = Normalize(chosen.mean * channels, chosen.std * channels)
    else:
        chosen = {"imagenet": IMAGENET, "cifar10": CIFAR10}[statistics]
    if len(chosen.mean) != channels:
        raise UsageError(
            f"statistics {statistics}: of {len(chosen.mean)} channels, the net takes {channels}"
        )
    return chosen
