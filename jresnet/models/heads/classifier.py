"""The classifier: pooling and one linear layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.layers import Initializer
from jresnet.models.pools import global_average_pool

Array = jax.Array


class Classifier(nn.Module):
    """Global average pooling and a linear layer on the backbone's last features.

    `[batch, *spatial, channels]` to float32 (float64 for float64 input) logits
    `[batch, num_classes]`. The head starts as N(0, 0.01^2), as in Goyal et al. (arXiv:1706.02677,
    section 5.1). Extra keyword arguments, such as `gates`, go to the backbone.
    """

    backbone: nn.Module
    num_classes: int
    dropout: float = 0.0
    head_init: Initializer = nn.initializers.normal(0.01)

    @nn.compact
    def __call__(self, x: Array, *, train: bool, **backbone: Any) -> Array:
        features = self.features(x, train=train, **backbone)
        pooled = global_average_pool(list(features.values())[-1])
        if self.dropout:
            pooled = nn.Dropout(self.dropout, deterministic=not train)(pooled)
        dtype = jnp.promote_types(pooled.dtype, jnp.float32)
        head = nn.Dense(self.num_classes, dtype=dtype, kernel_init=self.head_init, name="head")
        return head(pooled)

    def features(self, x: Array, *, train: bool, **backbone: Any) -> dict[str, Array]:
        """The backbone's `{"stem", "stage1", ...}`: `model.apply(..., method="features")`."""
        call: Callable[..., dict[str, Array]] = self.backbone  # type: ignore[assignment]
        return call(x, train=train, **backbone)
