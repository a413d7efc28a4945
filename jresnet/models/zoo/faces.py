"""IResNets, the nets of ArcFace, under insightface's names; any other backbone takes their head.

They take aligned faces `[batch, 112, 112, 3]` in [-1, 1] and give vectors `[batch, 512]`.
"""

from typing import Any

from flax import linen as nn

from jresnet.models.block import ConvSpec, Order
from jresnet.models.headed import Headed, backbone_of
from jresnet.models.heads.embedding import Embedder, Embedding, IResNet
from jresnet.models.layers import Conv, PReLU
from jresnet.models.part import part
from jresnet.models.published import published
from jresnet.models.resnet import ResNet
from jresnet.models.stem import Stem, StemConv

DENG_2019 = "Deng et al. 2019, arXiv:1801.07698"
FACE = (112, 112, 3)
# BN-conv-BN-PReLU-conv-BN (Han et al. 2017, arXiv:1610.02915); nothing after the sum.
ORDER = Order(("norm",), last=("norm",), sum=(), shared=False)
BRANCH = (ConvSpec(), ConvSpec(strided=True))
CONV = part(Conv, kernel_init=nn.initializers.normal(0.1))  # as insightface starts them


def iresnet(
    depths: tuple[int, ...],
    features: int = 512,
    dropout: float = 0.0,
    widths: tuple[int, ...] = (64, 128, 256, 512),
    **backbone: Any,
) -> IResNet:
    """A 3x3 stem, stages that all halve the map, and an embedding of `features` numbers."""
    usual: dict[str, Any] = {
        "branch": BRANCH,
        "strides": (2,) * len(depths),
        "stem": part(Stem, convs=(StemConv(widths[0], 3, 1),), pool=None),
        "order": ORDER,
        "act": part(PReLU),
        "conv": CONV,
    }
    body = ResNet(depths, widths=widths, **usual | backbone)
    head = part(Embedding, features=features, dropout=dropout, opening=False, norm=body.norm)
    return IResNet(body, head)


def embedder(net: Headed, features: int = 512, dropout: float = 0.0) -> Embedder:
    """The backbone of any net of the zoo with an embedding in the place of its head."""
    body = net.backbone
    closes = "norm" in getattr(backbone_of(net), "order", Order()).first
    return Embedder(body, part(Embedding, features=features, dropout=dropout, opening=not closes))


@published(24_025_600, None, DENG_2019, FACE)
def iresnet18(features: int = 512, dropout: float = 0.0, **backbone: Any) -> IResNet:
    """IResNet-18."""
    return iresnet((2, 2, 2, 2), features, dropout, **backbone)


@published(34_139_328, None, DENG_2019, FACE)
def iresnet34(features: int = 512, dropout: float = 0.0, **backbone: Any) -> IResNet:
    """IResNet-34."""
    return iresnet((3, 4, 6, 3), features, dropout, **backbone)


@published(43_590_848, None, DENG_2019, FACE)
def iresnet50(features: int = 512, dropout: float = 0.0, **backbone: Any) -> IResNet:
    """IResNet-50, of blocks of two convolutions."""
    return iresnet((3, 4, 14, 3), features, dropout, **backbone)


@published(65_156_160, None, DENG_2019, FACE)
def iresnet100(features: int = 512, dropout: float = 0.0, **backbone: Any) -> IResNet:
    """IResNet-100."""
    return iresnet((3, 13, 30, 3), features, dropout, **backbone)


@published(118_833_920, None, DENG_2019, FACE)
def iresnet200(features: int = 512, dropout: float = 0.0, **backbone: Any) -> IResNet:
    """IResNet-200."""
    return iresnet((6, 26, 60, 6), features, dropout, **backbone)
