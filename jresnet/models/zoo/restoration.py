"""Nets that enlarge pictures, under the names of their papers and of BasicSR.

Each is an `Upscaler` of a `scale` of 2, 3, 4 or 8 on a `ResNet` of one stage; further keyword
arguments replace fields of that. They take pixels in [0, 1] and give such.
"""

from typing import Any, Literal

import jax
from flax import linen as nn

from jresnet.models.block import BASIC, Branch, ConvSpec, ModuleDef, Order
from jresnet.models.gates import Scaled
from jresnet.models.heads.upsample import (
    EDSR,
    FACTORS,
    UNIT,
    Discriminator,
    MSRResNet,
    SRResNet,
    UpsampleHead,
    Values,
    small_normal,
)
from jresnet.models.layers import Activation, BatchNorm, Conv, PReLU
from jresnet.models.norms import NoNorm
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.resnet import ResNet
from jresnet.models.stem import Stem, StemConv

LEDIG = "Ledig et al. 2017, arXiv:1609.04802"
LIM = "Lim et al. 2017, arXiv:1707.02921"
BASICSR = "BasicSR, MSRResNet"
PICTURE = (48, 48, 3)

CONV = part(Conv, use_bias=True)
# Convolutions, each but the last followed by an activation; none after the sum.
WITHOUT_NORM = Order(between=("act",), last=(), sum=())
WITH_NORM = Order(between=("norm", "act"), last=("norm",), sum=())
# BasicSR starts branches small, so that a deep net without norms begins as the identity, nearly.
SMALL_BRANCH: Branch = (ConvSpec(3, init=small_normal), ConvSpec(3, init=small_normal))
# Mean colour of DIV2K, and pixels of 0 to 255 (Lim et al.'s code).
DIV2K = Values((0.4488, 0.4371, 0.4040), 255.0)


def leaky_relu(x: jax.Array) -> jax.Array:
    """Slope 0.1 below zero."""
    return nn.leaky_relu(x, 0.1)


def srresnet(
    scale: int = 4,
    blocks: int = 16,
    width: int = 64,
    norm: bool = True,
    channels: int = 3,
    ends: int = 9,
    skip: Literal["bilinear", "bicubic"] | None = None,
    **backbone: Any,
) -> SRResNet:
    """SRResNet, SRGAN's generator: PReLU, convolutions of `ends` pixels at both ends, a long skip.

    `norm` is BatchNorm in the blocks and after them. It reads pixels as they are and gives them in
    [-1, 1], as in the paper, section 3.2; PReLUs share one slope over their channels. A deviation:
    the last convolution ends in no tanh. With `skip` the enlarged input is added, and the net
    gives the difference.
    """
    fields: dict[str, Any] = {
        "branch": BASIC if norm else SMALL_BRANCH,
        "norm": BatchNorm if norm else NoNorm,
        "order": WITH_NORM if norm else WITHOUT_NORM,
        "act": part(PReLU, shared=True),
    }
    body = _body(blocks, width, ends, ("act",), **fields | backbone)
    head = _head(body, act=body.act, norm=body.norm, kernel=ends, last_init=small_normal)
    outputs = Values((0.5,), 2.0) if skip is None else UNIT
    return SRResNet(body, _checked(scale), head, channels, skip, outputs=outputs)


def msrresnet(
    scale: int = 4, blocks: int = 16, width: int = 64, channels: int = 3, **backbone: Any
) -> MSRResNet:
    """BasicSR's SRResNet: no norm, ReLU, leaky ReLU around the blocks, the enlarged input added."""
    body = _body(blocks, width, 3, ("act",), stem_act=leaky_relu, **backbone)
    head = _head(body, act=leaky_relu, closing=False, refine=True, last_init=small_normal)
    return MSRResNet(body, _checked(scale), head, channels, "bilinear")


def edsr(
    scale: int = 4,
    blocks: int = 16,
    width: int = 64,
    residual_scale: float = 1.0,
    channels: int = 3,
    **backbone: Any,
) -> EDSR:
    """EDSR: no norm, no activation outside of the blocks, their branches times `residual_scale`.

    Pixels lose the mean colour of DIV2K, except where `channels` is not 3.
    """
    gate = None if residual_scale == 1 else part(Scaled, factor=residual_scale)
    body = _body(blocks, width, 3, (), **{"gate": gate} | backbone)
    values = DIV2K if channels == 3 else Values((0.5,), 255.0)
    return EDSR(body, _checked(scale), _head(body), channels, None, values, values)


@published(1_549_462, None, LEDIG, PICTURE)
def srresnet_x4(**backbone: Any) -> SRResNet:
    """SRResNet x4, 16 blocks of 64 channels."""
    return srresnet(4, **backbone)


@published(1_517_571, None, BASICSR, PICTURE)
def msrresnet_x4(**backbone: Any) -> MSRResNet:
    """BasicSR's MSRResNet x4, 16 blocks of 64 channels."""
    return msrresnet(4, **backbone)


@published(1_369_859, None, LIM, PICTURE, scale=2)
@published(1_517_571, None, LIM, PICTURE)
def edsr_baseline(scale: int = 4, **backbone: Any) -> EDSR:
    """EDSR's baseline, 16 blocks of 64 channels."""
    return edsr(scale, **backbone)


@published(40_729_603, None, LIM, PICTURE, scale=2)
@published(43_089_923, None, LIM, PICTURE)
def edsr_large(scale: int = 4, **backbone: Any) -> EDSR:
    """EDSR, 32 blocks of 256 channels, their branches times 0.1."""
    return edsr(scale, 32, 256, 0.1, **backbone)


def srgan_discriminator(**fields: Any) -> Discriminator:
    """The discriminator of SRGAN; its norms are BatchNorm."""
    changed: dict[str, Any] = {"norm": BatchNorm} | fields
    return Discriminator(**changed)


def _body(
    blocks: int,
    width: int,
    kernel: int,
    steps: tuple[Any, ...],
    stem_act: Activation | ModuleDef | None = None,
    **fields: Any,
) -> ResNet:
    """One stage without strides after a stem of one convolution."""
    convs = (StemConv(width, kernel, 1),)
    stem = part(Stem, convs=convs, pool=None, steps=steps, activation=stem_act)
    usual: dict[str, Any] = {
        "branch": SMALL_BRANCH,
        "stem": stem,
        "conv": CONV,
        "norm": NoNorm,
        "order": WITHOUT_NORM,
    }
    shape: dict[str, Any] = {"depths": (blocks,), "widths": (width,), "strides": (1,)}
    return ResNet(**usual | shape | fields)


def _head(body: ResNet, **fields: Any) -> ModuleDef:
    conv = part(body.conv, dtype=body.dtype)
    norm = part(fields.pop("norm", NoNorm), dtype=body.dtype)
    return part(UpsampleHead, conv=conv, norm=norm, **fields)


def _checked(scale: int) -> int:
    if scale not in FACTORS:
        raise ValueError(f"scale={scale}: expected one of {', '.join(map(str, FACTORS))}")
    return scale
