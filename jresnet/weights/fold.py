"""BatchNorm folded into the convolutions before it, for nets that no longer train.

At test time BatchNorm is `x * multiplier + offset` in every channel. After a convolution the
multiplier goes into the kernel and the offset alone is left of the norm.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from jresnet.models.headed import Net, backbone_of, is_scanned, with_backbone
from jresnet.models.layers import BatchNorm, Conv, Dtype, Initializer
from jresnet.models.part import part
from jresnet.models.resnet import ResNet
from jresnet.models.scan import stack, unstack

Array = jax.Array


class Affine(nn.Module):
    """`x * scale + bias` in every channel; `x + bias` where the parameters hold no scale.

    Takes the place of a norm, so `scale_init` and `train` are accepted and not used.
    """

    dtype: Dtype | None = None
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        del train
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        y = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.has_variable("params", "scale"):
            y = y * lax.broadcast_to_rank(self.get_variable("params", "scale"), y.ndim)
        return (y + lax.broadcast_to_rank(bias, y.ndim)).astype(self.dtype or x.dtype)


def fold(model: Net, variables: Mapping[str, Any]) -> tuple[Net, dict[str, Any]]:
    """A net and variables that give the output of `model` at `train=False`, in float32.

    The multiplier of a BatchNorm of the backbone goes into the convolution directly before it.
    Norms that have none there, such as the first of a pre-activation block and the closing one,
    stay as a scale and a bias. What stands beside the backbone stays as it is. So does a whole net
    whose backbone is no `ResNet`, or has another norm.
    """
    backbone = backbone_of(model)
    if not isinstance(backbone, ResNet) or type(backbone.norm(parent=None)) is not BatchNorm:
        return model, dict(variables)
    norm, conv = backbone.norm(parent=None), backbone.conv(features=1, parent=None)
    canonical = jax.tree.map(np.asarray, unstack(variables))
    statistics = canonical.get("batch_stats", {})
    params = _affine(canonical["params"]["backbone"], statistics.get("backbone", {}), norm.epsilon)
    # A kernel that is standardised before use forgets what it was multiplied by.
    if type(conv) is Conv and conv.transform is None:
        params = _into_convolutions(params, backbone)
    rest = {key: value for key, value in canonical.items() if key != "batch_stats"}
    rest["params"] = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float32), canonical["params"] | {"backbone": params}
    )
    if others := {key: value for key, value in statistics.items() if key != "backbone"}:
        rest["batch_stats"] = others
    folded = with_backbone(model, norm=part(Affine))
    return folded, stack(rest) if is_scanned(model) else rest


def _affine(params: Any, statistics: Any, epsilon: float) -> Any:
    """BatchNorms' scales and biases that have the statistics in them, computed in float64."""
    if not isinstance(params, Mapping):
        return params
    if "var" not in statistics:
        return {
            name: _affine(layer, statistics.get(name, {}), epsilon)
            for name, layer in params.items()
        }
    mean, var = (statistics[name].astype(np.float64) for name in ("mean", "var"))
    scale = params["scale"] / np.sqrt(var + epsilon)
    return {"scale": scale, "bias": params["bias"] - mean * scale}


def _into_convolutions(params: Any, backbone: Any, module: str = "") -> Any:
    """The scale of each norm in `params` taken out and multiplied into the conv before it."""
    folded = {
        name: _into_convolutions(layer, backbone, name) if isinstance(layer, Mapping) else layer
        for name, layer in params.items()
    }
    for name, conv in _pairs(folded, backbone, module):
        scale = folded[name].pop("scale")
        folded[conv] = {leaf: value * scale for leaf, value in folded[conv].items()}
    return folded


def _pairs(layers: Mapping[str, Any], backbone: Any, module: str) -> list[tuple[str, str]]:
    """The norms of a module that stand directly after a convolution, each with it."""
    if module.startswith("block"):
        convolutions = sum(re.fullmatch(r"conv\d+", name) is not None for name in layers)
        order = backbone.order
        if backbone.downsample is not None and order.strided_at == 0:
            return []  # a pool, perhaps not a linear one, may stand between them
        followed = enumerate(order.followed(convolutions), 1)
        return [(f"norm{norm}", f"conv{conv}") for norm, conv in followed if conv is not None]
    numbers = (name.removeprefix("norm") for name in layers if name.startswith("norm"))
    return [(f"norm{n}", f"conv{n}") for n in numbers if f"conv{n}" in layers]
