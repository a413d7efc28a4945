"""Features of a backbone by index, with strides and channels that are known before it runs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.models import cpu
from jresnet.models.block import ConvSpec
from jresnet.models.headed import Headed, backbone_of, with_backbone
from jresnet.models.layers import Shape, per_axis
from jresnet.models.resnet import ResNet

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class Feature:
    """One feature of a backbone, as timm's `feature_info` counts them.

    - index: 0 for the stem's map before its pool, then the number of the stage.
    - name: its key among the backbone's features.
    - channels: its last axis.
    - stride: pixels of the input from one position to the next; one number, or one an axis.
    """

    index: int
    name: str
    channels: int
    stride: Shape


def feature_info(net: Headed | ResNet, rank: int = 2) -> tuple[Feature, ...]:
    """All features of a net's backbone, from its fields alone: nothing is traced or computed.

    Args:
        net: a `ResNet`, or any net over one.
        rank: the number of spatial axes of its input.

    Raises:
        ValueError: for a backbone that is no `ResNet`, and as `ResNet.plan` does.
    """
    backbone = _resnet(net)
    stem = backbone.stem(parent=None)
    stride = [1] * rank
    for conv in stem.convs:
        stride = [s * n for s, n in zip(stride, per_axis(conv.strides, rank), strict=True)]
    channels = stem.convs[-1].features
    first = "stem" if stem.pool is None else "before_pool"
    features = [Feature(0, first, channels, _shape(stride))]
    if stem.pool is not None:
        stride = [s * n for s, n in zip(stride, _pool_strides(stem.pool, rank), strict=True)]
    for number, (width, (branch, strides, _)) in enumerate(
        zip(backbone.widths, backbone.plan(rank), strict=True), 1
    ):
        stride = [s * n for s, n in zip(stride, per_axis(strides, rank), strict=True)]
        channels = _out(branch, channels, width)
        features.append(Feature(number, f"stage{number}", channels, _shape(stride)))
    return tuple(features)


def _resnet(net: Headed | ResNet) -> ResNet:
    """The backbone of a net. Raises ValueError for another kind."""
    backbone = net if isinstance(net, ResNet) else backbone_of(net)
    if not isinstance(backbone, ResNet):
        raise ValueError(f"backbone={type(backbone).__name__}: expected a ResNet")
    return backbone


@cpu.without()  # shapes need no backend
def _pool_strides(pool: Callable[[Array], Array], rank: int) -> list[int]:
    """How much a pool shrinks each axis, by the shape of its result."""
    side = 64
    image = jax.ShapeDtypeStruct((1, *[side] * rank, 1), jnp.float32)
    return [side // after for after in jax.eval_shape(pool, image).shape[1:-1]]


def _out(branch: Sequence[ConvSpec], block_input: int, width: int) -> int:
    """Channels after a block of this branch."""
    return branch[-1].features(block_input, width)


def _shape(stride: list[int]) -> Shape:
    return stride[0] if len(set(stride)) == 1 else tuple(stride)


class Pyramid(nn.Module):
    """A backbone alone, which returns some of its features in a list: `feature_pyramid` builds it.

    It is a net like any other: weights of classifiers load into it with `new_head=True`, and parts
    can be frozen.
    """

    backbone: nn.Module
    out_indices: tuple[int, ...]

    def __call__(self, x: Array, *, train: bool) -> list[Array]:
        """`[batch, *spatial, channels]` to a list of maps, in the order of `out_indices`."""
        features = self.backbone(x, train=train)  # type: ignore[operator]
        return [features[feature.name] for feature in self.info(x.ndim - 2)]

    def info(self, rank: int = 2) -> tuple[Feature, ...]:
        """The features that it returns, in their order."""
        features = feature_info(self.backbone, rank)  # type: ignore[arg-type]
        return tuple(features[index] for index in self.out_indices)


def feature_pyramid(net: Headed | ResNet, out_indices: Sequence[int] | None = None) -> Pyramid:
    """The backbone of a net as a net that returns features by index.

    Args:
        net: a `ResNet`, or any net over one; its head is left out.
        out_indices: 0 is the stem's map before its pool, 1 the first stage; negative ones count
            from the end. By default all of them.

    Raises:
        ValueError: for an index that is not there, for a backbone that is no `ResNet`, and for
            none.
    """
    inner = _resnet(net)
    count = 1 + len(inner.depths)
    wanted = range(count) if out_indices is None else out_indices
    for index in wanted:
        if not -count <= index < count:
            raise ValueError(
                f"out_indices={tuple(wanted)}: expected numbers from {-count} to {count - 1}"
            )
    if not wanted:
        raise ValueError("out_indices=(): expected one index or more")
    indices = tuple(index % count for index in wanted)
    backbone: Any = net if isinstance(net, ResNet) else net.backbone
    pyramid = Pyramid(backbone, indices)
    has_pool = inner.stem(parent=None).pool is not None
    return with_backbone(pyramid, before_pool=True) if has_pool and 0 in indices else pyramid
