"""Losses of pictures against the truth: of pixels, and of the features of a trained net.

Each is called as `loss(ours, truth, constants)` with pictures `[batch, H, W, channels]` in [0, 1],
and gives a number for each, `[batch]`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import jax.numpy as jnp
from flax import linen as nn

from jresnet.tasks.base import Array


class PictureLoss(Protocol):
    """A loss of single pictures."""

    def __call__(self, ours: Array, truth: Array, constants: Any) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Absolute:
    """The mean absolute difference (L1)."""

    def __call__(self, ours: Array, truth: Array, constants: Any = None) -> Array:
        del constants
        return jnp.abs(ours - truth).mean((1, 2, 3))


@dataclasses.dataclass(frozen=True)
class Squared:
    """The mean squared difference (L2)."""

    def __call__(self, ours: Array, truth: Array, constants: Any = None) -> Array:
        del constants
        return jnp.square(ours - truth).mean((1, 2, 3))


@dataclasses.dataclass(frozen=True)
class Perceptual:
    """The squared difference of a net's features, times `weight`, plus `pixels` times another loss.

    Johnson et al. 2016 (arXiv:1603.08155, section 3.2) and SRGAN (arXiv:1609.04802, section 2.2.1).
    The variables of `backbone`, `{"params", "batch_stats"}`, are the experiment's `constants`: they
    are not trained. `normalize` makes its input of pixels from 0 to 255; `feature` is one of those
    that it gives, such as "stage2".
    """

    backbone: nn.Module
    normalize: Callable[[Array], Array]
    feature: str = "stage2"
    weight: float = 1.0
    pixels: float = 0.0
    pixel_loss: PictureLoss = dataclasses.field(default_factory=Absolute)

    def __call__(self, ours: Array, truth: Array, constants: Any) -> Array:
        """Raises ValueError for a feature that the backbone does not have."""

        def features(pictures: Array) -> Array:
            shown: Any = self.backbone.apply(constants, self.normalize(255 * pictures), train=False)
            if self.feature not in shown:
                raise ValueError(f"feature={self.feature!r}: expected one of {', '.join(shown)}")
            return shown[self.feature]

        value = self.weight * jnp.square(features(ours) - features(truth)).mean((1, 2, 3))
        if self.pixels:
            value = value + self.pixels * self.pixel_loss(ours, truth, constants)
        return value
