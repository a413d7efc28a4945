"""A backbone for images over the frames of clips."""

from typing import Any, ClassVar

import jax
from flax import linen as nn

Array = jax.Array


class Frames(nn.Module):
    """Folds frames into the batch: `Classifier(Frames(zoo.resnet50().backbone), 400)`.

    `[batch, frames, *spatial, channels]` to the backbone's features, each
    `[batch, frames, *spatial / reduction, features]`. Variables are the backbone's own, under the
    same names. BatchNorm sees `batch * frames` images; a `group` counts images.
    """

    backbone: nn.Module
    folded: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> dict[str, Array]:
        nn.share_scope(self, self.backbone)
        call: Any = self.backbone
        features = call(x.reshape(-1, *x.shape[2:]), train=train, **backbone)
        return {name: y.reshape(*x.shape[:2], *y.shape[1:]) for name, y in features.items()}
