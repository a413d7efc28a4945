"""Augmentation by a random box of each image, on the device: what lies in it is erased.

Called as `op(rng, images)` with float32 images [b, H, W, C], like those of `augment`.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.errors import UsageError

Array = jax.Array
Range = tuple[float, float]


class Boxes(NamedTuple):
    """Whole pixels as floats [b]; `fitted` is false where none of ten tries fitted."""

    top: Array
    left: Array
    height: Array
    width: Array
    fitted: Array


def random_boxes(
    rng: Array, count: int, size: tuple[int, int], scale: Range, ratio: Range, margin: int = 0
) -> Boxes:
    """Boxes in images of `size` (height, width), each the first of ten tries that fits, as in torchvision.

    Their share of the area is uniform in scale, their width over height log-uniform in ratio; at least `margin`
    rows and columns are left. Where none fits: the largest in the middle whose ratio is within bounds.
    """
    height, width = size
    areas, ratios, places = jax.random.split(rng, 3)
    low, high = np.log(ratio)
    tries = (count, 10)
    area = height * width * jax.random.uniform(areas, tries, minval=scale[0], maxval=scale[1])
    ratio_drawn = jnp.exp(jax.random.uniform(ratios, tries, minval=low, maxval=high))
    w, h = jnp.round(jnp.sqrt(area * ratio_drawn)), jnp.round(jnp.sqrt(area / ratio_drawn))
    fits = (w > 0) & (w <= width - margin) & (h > 0) & (h <= height - margin)
    first, fitted = jnp.argmax(fits, 1)[:, None], fits.any(1)
    h, w = (jnp.take_along_axis(sides, first, 1)[:, 0] for sides in (h, w))
    h = jnp.where(fitted, h, jnp.clip(jnp.round(width / ratio[0]), 1, height))
    w = jnp.where(fitted, w, jnp.clip(jnp.round(height * ratio[1]), 1, width))
    place = jax.random.uniform(places, (2, count))
    top, left = jnp.floor(place[0] * (height - h + 1)), jnp.floor(place[1] * (width - w + 1))
    return Boxes(
        jnp.where(fitted, top, (height - h) // 2),
        jnp.where(fitted, left, (width - w) // 2),
        h,
        w,
        fitted,
    )


@dataclasses.dataclass(frozen=True)
class RandomErasing:
    """A box of noise in each image with probability `probability` (Zhong et al. 2017, arXiv 1708.04896, algorithm 1).

    scale bounds the share of the area, ratio is height over width; images where no box fits stay. value "noise" is
    standard normal, for normalised images; "zero" their mean colour.
    """

    probability: float = 0.25
    scale: Range = (0.02, 0.33)
    ratio: Range = (0.3, 3.3)
    value: Literal["noise", "zero"] = "noise"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise UsageError(f"probability={self.probability}: expected 0 to 1")

    def __call__(self, rng: Array, images: Array) -> Array:
        """[b, H, W, C] to the same."""
        chance, noise, draw = jax.random.split(rng, 3)
        count, height, width, _ = images.shape
        ratio = (1 / self.ratio[1], 1 / self.ratio[0])
        boxes = random_boxes(draw, count, (height, width), self.scale, ratio, margin=1)
        erased = jax.random.bernoulli(chance, self.probability, (count,)) & boxes.fitted
        top, left, h, w, erased = (side[:, None, None] for side in (*boxes[:4], erased))
        y, x = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]
        inside = erased & (y >= top) & (y < top + h) & (x >= left) & (x < left + w)
        fill = jax.random.normal(noise, images.shape) if self.value == "noise" else 0.0
        return jnp.where(inside[..., None], fill, images)
