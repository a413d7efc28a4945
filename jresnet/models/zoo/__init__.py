"""The published nets, a plain function each.

Every function returns a net with a head; further keyword arguments replace fields of its `ResNet`
backbone: `resnet50(10, norm=part(BatchNorm, group=32), dtype=jnp.bfloat16)`. `plain(net)` is
any net's twin without shortcuts. `published` states what the paper or its reference code states;
`python -m jresnet list` prints it and the tests compare it with the net.
"""

from jresnet.models.headed import plain
from jresnet.models.zoo.cifar import cifar_resnet, cifar_resnext29, wrn
from jresnet.models.zoo.common import DEEP_STEM, SMALL_STEM, bottleneck
from jresnet.models.zoo.imagenet import (
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnet200,
    resnext50_32x4d,
    resnext101_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from jresnet.models.zoo.timm import (
    ecaresnet50d,
    resnet10t,
    resnet26d,
    resnet34d,
    resnet50_gn,
    resnet50d,
    resnet101d,
    resnetaa50,
    resnetblur50,
    resnetrs50,
    resnetv2_50,
    resnetv2_50x1_bit,
    resnetv2_101,
    resnetv2_152,
    resnext50d_32x4d,
    seresnet50,
)
from jresnet.models.zoo.video import mc3_18, r2plus1d_18, r3d_18

__all__ = [
    "DEEP_STEM",
    "SMALL_STEM",
    "bottleneck",
    "cifar_resnet",
    "cifar_resnext29",
    "ecaresnet50d",
    "mc3_18",
    "plain",
    "r2plus1d_18",
    "r3d_18",
    "resnet10t",
    "resnet18",
    "resnet26d",
    "resnet34",
    "resnet34d",
    "resnet50",
    "resnet50_gn",
    "resnet50d",
    "resnet101",
    "resnet101d",
    "resnet152",
    "resnet200",
    "resnetaa50",
    "resnetblur50",
    "resnetrs50",
    "resnetv2_50",
    "resnetv2_50x1_bit",
    "resnetv2_101",
    "resnetv2_152",
    "resnext50_32x4d",
    "resnext50d_32x4d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "seresnet50",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "wrn",
]
