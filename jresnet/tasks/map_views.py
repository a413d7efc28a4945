"""Several views of each image in the evaluation of label maps, and the mean of the probabilities."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jresnet.models.upsample import resize
from jresnet.tasks.base import Array, Batch, Metrics, Variables
from jresnet.tasks.segment import Segment

_TINY = 1e-12  # below it a probability is rounding


@dataclasses.dataclass(frozen=True)
class MapViews:
    """`task` with every image seen at several scales, as it is and mirrored.

    Probabilities of each view are brought back to the image's own pixels, and their mean decides
    (Chen et al. 2017, arXiv:1706.05587, section 4.1: 0.5 to 1.75 in steps of 0.25). The loss is
    that of this mean. Both interpolations are bilinear.

    - `scales`: factors of an image's height and width.
    - `mirror`: whether each scale is also seen mirrored.
    """

    task: Segment
    scales: tuple[float, ...] = (1.0,)
    mirror: bool = True

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        """The metrics of `task.evaluate`."""
        images = self.task.normalize(batch["image"])
        size = images.shape[1:-1]
        views = []
        for scale in self.scales:
            view = resize(images, tuple(max(1, round(scale * side)) for side in size))
            views.append(resize(self._probabilities(variables, view), size))
            if self.mirror:
                mirrored = self._probabilities(variables, view[..., ::-1, :])[..., ::-1, :]
                views.append(resize(mirrored, size))
        mean = jnp.mean(jnp.stack(views), 0)
        if mean.shape[-1] == 1:  # back to the logit of one sigmoid
            logits = jnp.log(jnp.maximum(mean, _TINY)) - jnp.log(jnp.maximum(1 - mean, _TINY))
        else:
            logits = jnp.log(jnp.maximum(mean, _TINY))
        return self.task.measured(logits, batch)

    def _probabilities(self, variables: Variables, images: Array) -> Array:
        output: Any = self.task.model.apply(variables, images, train=False)
        logits = output["out"] if isinstance(output, Mapping) else output
        return jax.nn.sigmoid(logits) if logits.shape[-1] == 1 else jax.nn.softmax(logits)
