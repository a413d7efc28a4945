"""The embedding of a picture: a map made into one vector (Deng et al. 2019, arXiv:1801.07698)."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models.block import ModuleDef
from jresnet.models.layers import BatchNorm

Array = jax.Array


class Embedding(nn.Module):
    """Norm, dropout, a linear layer over the whole map, norm: `[batch, *spatial, C]` to `[batch, features]`.

    The scale of the last norm stays 1, as in insightface: its gradient is zero. `opening` is the
    first norm; backbones that close with one go without. All is float32, whatever the map is.
    """

    features: int = 512
    dropout: float = 0.0
    opening: bool = True
    norm: ModuleDef = BatchNorm

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.opening:
            x = self.norm(name="opening")(x, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        axes = tuple(range(1, x.ndim))
        x = nn.DenseGeneral(self.features, axes, name="linear")(x)
        fixed = nn.map_variables(
            self.norm.layer if hasattr(self.norm, "layer") else self.norm,  # type: ignore[arg-type]
            "params",
            with_fixed_scale,
            init=self.is_initializing(),
        )
        options = dict(getattr(self.norm, "fields", ()))
        return fixed(**options, name="norm")(x, train=train)


def with_fixed_scale(variables: Mapping[str, Any]) -> Any:
    """Variables of a norm, no gradient to its scale."""

    def fixed(path: Any, value: Array) -> Array:
        return jax.lax.stop_gradient(value) if path[-1].key == "scale" else value

    return jax.tree_util.tree_map_with_path(fixed, dict(variables))


class Embedder(nn.Module):
    """A backbone and an `Embedding` of its last features: pictures to vectors `[batch, features]`.

    The vectors are not of length 1; their directions are compared.
    """

    backbone: nn.Module
    head: ModuleDef = Embedding

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        call: Callable[..., dict[str, Array]] = self.backbone  # type: ignore[assignment]
        last = list(call(x, train=train).values())[-1]
        return self.head(name="head")(last, train=train)


class IResNet(Embedder):
    """insightface's nets, whose backbone closes with a norm."""
