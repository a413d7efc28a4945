"""Several views of each image in evaluation, and the mean of the net's probabilities over them."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jresnet.tasks.base import Array, Batch, Variables
from jresnet.tasks.classify import Classify

Views = Callable[[Array], list[Array]]


def one(images: Array) -> list[Array]:
    """The image itself."""
    return [images]


@dataclasses.dataclass(frozen=True)
class TenCrops:
    """The corners and the middle of `[batch, H, W, C]`, crop x crop, and the mirror image of each.

    Krizhevsky et al. 2012, section 4.1, on the middle square of the image; the "10-crop testing" of
    He et al. 2015 (arXiv:1512.03385, table 3).
    """

    crop: int

    def __call__(self, images: Array) -> list[Array]:
        low, wide = images.shape[1] - self.crop, images.shape[2] - self.crop
        if low < 0 or wide < 0:
            raise ValueError(f"crop {self.crop}: the images are {images.shape[1:3]}")
        places = [(0, 0), (0, wide), (low, 0), (low, wide), (low // 2, wide // 2)]
        crops = [images[:, y : y + self.crop, x : x + self.crop] for y, x in places]
        return [*crops, *(crop[:, :, ::-1] for crop in crops)]


@dataclasses.dataclass(frozen=True)
class MeanOverViews:
    """`task` with every image seen in several views, whose outputs can be collected."""

    task: Classify
    views: Views = one

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`probabilities` `[batch, classes]`, the mean over the views, and `label`."""
        seen = [
            jax.nn.softmax(self.task.outputs(variables, {**batch, "image": view})["logits"])
            for view in self.views(batch["image"])
        ]
        return {"probabilities": jnp.mean(jnp.stack(seen), 0), "label": batch["label"]}
