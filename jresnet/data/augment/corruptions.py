"""Images made worse on the device, to measure nets on pictures unlike those that they were trained on.

Each is called as `op(rng, images)` with floats in [0, 255] `[batch, H, W, 1 or 3]` and gives whole
numbers in the same range. Five strengths, `STRENGTHS`, are those of CIFAR-10-C for small images, and
of ImageNet-C for larger ones (Hendrycks and Dietterich 2019, arXiv:1903.12261, section 3 and the
authors' code).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.augment.jpeg import stored
from jresnet.errors import UsageError

Array = jax.Array
Corruption = Callable[[Array, Array], Array]
Kind = Literal["brightness", "blur", "noise", "jpeg"]
KINDS: tuple[Kind, ...] = ("brightness", "blur", "noise", "jpeg")
SMALL = 64  # pixels of the shorter side, up to which the strengths are those of CIFAR-10-C


@dataclasses.dataclass(frozen=True)
class Brightness:
    """The largest colour of each pixel raised by `share` of the range, hue and saturation kept."""

    share: float

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, H, W, 1 or 3]` to the same; draws nothing."""
        del rng
        value = jnp.max(images, -1, keepdims=True)
        raised = jnp.clip(value + 255 * self.share, 0, 255)
        # A black pixel has no hue: it becomes grey.
        brighter = jnp.where(value > 0, images * raised / jnp.maximum(value, 1e-6), raised)
        return _whole(brighter)


@dataclasses.dataclass(frozen=True)
class Blur:
    """A Gaussian blur of standard deviation `sigma` in pixels, cut off at 4 of them."""

    sigma: float

    def __post_init__(self) -> None:
        if self.sigma <= 0:
            raise UsageError(f"sigma={self.sigma}: expected above 0")

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, H, W, C]` to the same; draws nothing. The border pixels continue outside."""
        del rng
        reach = int(4 * self.sigma + 0.5)
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / self.sigma) ** 2)
        kernel = jnp.asarray(weights / weights.sum(), images.dtype)
        for axis in (1, 2):
            images = _convolved(images, kernel, axis)
        return _whole(images)


@dataclasses.dataclass(frozen=True)
class GaussianNoise:
    """Normal noise with a standard deviation of `deviation` times the range, for each value."""

    deviation: float

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, H, W, C]` to the same."""
        normal = jax.random.normal(rng, images.shape, images.dtype)
        return _whole(images + 255 * self.deviation * normal)


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """Stored as JPEG with a `quality` from 1 to 100, and read again."""

    quality: int

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality={self.quality}: expected 1 to 100")

    def __call__(self, rng: Array, images: Array) -> Array:
        """`[batch, H, W, 1 or 3]` to the same; draws nothing."""
        del rng
        return stored(images, self.quality)


STRENGTHS: Mapping[Literal["small", "large"], Mapping[Kind, tuple[Corruption, ...]]] = {
    "small": {
        "brightness": tuple(map(Brightness, (0.05, 0.1, 0.15, 0.2, 0.3))),
        "blur": tuple(map(Blur, (0.4, 0.6, 0.7, 0.8, 1.0))),
        "noise": tuple(map(GaussianNoise, (0.04, 0.06, 0.08, 0.09, 0.1))),
        "jpeg": tuple(map(Jpeg, (80, 65, 58, 50, 40))),
    },
    "large": {
        "brightness": tuple(map(Brightness, (0.1, 0.2, 0.3, 0.4, 0.5))),
        "blur": tuple(map(Blur, (1.0, 2.0, 3.0, 4.0, 6.0))),
        "noise": tuple(map(GaussianNoise, (0.08, 0.12, 0.18, 0.26, 0.38))),
        "jpeg": tuple(map(Jpeg, (25, 18, 15, 10, 7))),
    },
}


def corruptions(shape: tuple[int, ...]) -> Mapping[Kind, tuple[Corruption, ...]]:
    """The five strengths of each kind, for images `[H, W, C]`."""
    return STRENGTHS["small" if min(shape[:2]) <= SMALL else "large"]


def _whole(images: Array) -> Array:
    return jnp.clip(jnp.round(images), 0, 255)


def _convolved(images: Array, kernel: Array, axis: int) -> Array:
    """A weighted sum of neighbours along an axis, `kernel` `[2 * reach + 1]`."""
    reach = len(kernel) // 2
    pad = [(0, 0)] * images.ndim
    pad[axis] = (reach, reach)
    padded = jnp.pad(images, pad, mode="edge")
    size = images.shape[axis]
    parts = [
        weight * jax.lax.slice_in_dim(padded, place, place + size, axis=axis)
        for place, weight in enumerate(kernel)
    ]
    return jnp.sum(jnp.stack(parts), 0)
