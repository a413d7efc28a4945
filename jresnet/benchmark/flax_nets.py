"""The peer in Flax: ResNets from plain `nn.Conv` and `nn.BatchNorm`.

They follow Flax's ImageNet example, at any rank, with the layers of a net of this package.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.benchmark.numbers import Numbers


class FlaxResNet(nn.Module):
    """Post-activation nets with or without parameters on the shortcut."""

    numbers: Numbers
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        rank = x.ndim - 2
        conv = functools.partial(nn.Conv, use_bias=False, dtype=self.dtype)
        norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype
        )

        def convolved(x: jax.Array, features: int, size: Any, strides: Any, groups: int = 1) -> Any:
            padding = [(k // 2, k // 2) for k in size]
            x = conv(features, size, strides, padding, feature_group_count=groups)(x)
            return norm()(x)

        x = x.astype(self.dtype)
        for layer in self.numbers.stem:
            x = nn.relu(convolved(x, layer.features, layer.kernel, layer.strides))
        if self.numbers.pool:
            border: Any = [(1, 1)] * rank  # flax's annotation knows only names
            x = nn.max_pool(x, (3,) * rank, (2,) * rank, border)
        for block in self.numbers.blocks:
            y = x
            for number, layer in enumerate(block.branch, 1):
                y = convolved(y, layer.features, layer.kernel, layer.strides, layer.groups)
                y = y if number == len(block.branch) else nn.relu(y)
            if block.projection is not None:
                layer = block.projection
                x = convolved(x, layer.features, layer.kernel, layer.strides)
            elif block.pads:
                x = x[(slice(None), *(slice(None, None, s) for s in block.strides))]
                side = (y.shape[-1] - x.shape[-1]) // 2
                x = jnp.pad(x, [*[(0, 0)] * (x.ndim - 1), (side, y.shape[-1] - x.shape[-1] - side)])
            x = nn.relu(x + y)
        x = x.mean(tuple(range(1, x.ndim - 1)), dtype=jnp.float32)
        return nn.Dense(self.numbers.num_classes)(x)
