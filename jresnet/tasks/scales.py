"""Several scales and the mirror image of each picture in evaluation, their probabilities averaged."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from jresnet.models.upsample import resize
from jresnet.tasks.base import Array
from jresnet.tasks.windows import Net


@dataclasses.dataclass(frozen=True)
class Scales:
    """Images scaled by each of `factors`, with `mirrored` also their mirror images along the last axis.

    Chen et al. 2017 (arXiv:1706.05587, section 4.1). Images are scaled down with antialiasing, as in
    training; logits are brought back to the image's size before the softmax.
    """

    factors: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    mirrored: bool = True

    def __post_init__(self) -> None:
        if not self.factors or min(self.factors) <= 0:
            raise ValueError(f"factors={self.factors}: expected at least one number above 0")

    def logits(self, net: Net, images: Array) -> Array:
        """Logs of the mean probabilities over all views, which are logits: `[batch, *size, classes]`.

        With one class the log odds of its mean probability.
        """
        size = images.shape[1:-1]

        def seen(view: Array) -> Array:
            logits = resize(net(view), size)
            if logits.shape[-1] == 1:  # one sigmoid: the odds of class 1 against class 0
                logits = jnp.concatenate([jnp.zeros_like(logits), logits], -1)
            return jax.nn.log_softmax(logits)

        each = []
        for factor in self.factors:
            view = images
            if factor != 1:
                scaled = [max(1, round(factor * length)) for length in size]
                shape = (len(images), *scaled, images.shape[-1])
                view = jax.image.resize(images, shape, "linear", antialias=True)
            if self.mirrored:  # one after the other, so that the net is compiled once
                straight, mirror = lax.map(seen, jnp.stack([view, jnp.flip(view, -2)]))
                each += [straight, jnp.flip(mirror, -2)]
            else:
                each.append(seen(view))
        mean = functools.reduce(jnp.logaddexp, each) - math.log(len(each))
        one = jax.eval_shape(net, images).shape[-1] == 1
        return mean[..., 1:] - mean[..., :1] if one else mean
