"""Nets that paint pictures in the style of another one.

Each is a `Restyler` on a `ResNet` of one stage; further keyword arguments replace fields of that.
They take pixels in [0, 1] and give such.
"""

from typing import Any

import jax.numpy as jnp

from jresnet.models.block import BASIC
from jresnet.models.heads.restyle import Johnson, RestyleHead, Restyler
from jresnet.models.heads.upsample import UNIT, Values, small_normal
from jresnet.models.layers import Conv, he_normal
from jresnet.models.norms import InstanceNorm
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.resnet import ResNet
from jresnet.models.stem import Stem, StemConv
from jresnet.models.zoo.restoration import WITH_NORM

FAST_NEURAL_STYLE = "Johnson et al. 2016, arXiv:1603.08155, as in pytorch/examples"
PICTURE = (256, 256, 3)

CONV = part(Conv, use_bias=True, border="mirror")
# A picture of one colour has no variance, and its square less another one would be rounding alone.
NORM = part(InstanceNorm, fast_variance=False)
BYTES = Values((0.0,), 255.0)  # pixels from 0 to 255
CENTRED = Values((0.5,), 4.0)  # what is normalised has a deviation of a quarter, about grey


def restyler(
    width: int = 32, blocks: int = 5, channels: int = 3, skip: bool = True, **backbone: Any
) -> Restyler:
    """Two strided convolutions down, residual blocks of 4 `width` channels, two steps up.

    Instance norms (arXiv:1607.08022) and mirrored borders throughout. With `skip` the picture, its
    channels normalised and each with a scale and an offset that are learnt, is added at the end: a
    net that is trained for minutes need not learn to show it.
    """
    net = _build(Restyler, width, blocks, channels, CENTRED, small_normal, **backbone)
    return net.clone(skip=part(NORM, dtype=jnp.float32)) if skip else net


@published(1_679_235, None, FAST_NEURAL_STYLE, PICTURE)
def johnson(**backbone: Any) -> Johnson:
    """The net of pytorch/examples' fast_neural_style, which works on pixels from 0 to 255.

    Deviations of that from the paper: instance norm in the place of BatchNorm, mirrored borders in
    every convolution instead of one wide one around the picture, repetition and convolution instead
    of transposed ones, no tanh at the end.
    """
    return _build(Johnson, 32, 5, 3, BYTES, he_normal, inputs=BYTES, **backbone)


def _build(
    kind: type[Any],
    width: int,
    blocks: int,
    channels: int,
    outputs: Values,
    last_init: Any,
    inputs: Values = UNIT,
    **fields: Any,
) -> Any:
    convs = StemConv(width, 9, 1), StemConv(2 * width, 3, 2), StemConv(4 * width, 3, 2)
    usual: dict[str, Any] = {
        "depths": (blocks,),
        "branch": BASIC,
        "widths": (4 * width,),
        "strides": (1,),
        "stem": part(Stem, convs=convs, pool=None),
        "order": WITH_NORM,
        "conv": CONV,
        "norm": NORM,
    }
    body = ResNet(**usual | fields)
    head = part(
        RestyleHead,
        widths=(2 * width, width),
        conv=part(body.conv, dtype=body.dtype),
        norm=part(body.norm, dtype=body.dtype),
        act=body.act,
        last_init=last_init,
    )
    return kind(body, head, channels, inputs, outputs)
