"""The nets that label maps are learnt with."""

from typing import Any, Literal

from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.block import BASIC
from jresnet.models.heads.maps import Segmenter
from jresnet.models.heads.unet import UNet, UNetHead
from jresnet.models.part import part
from jresnet.models.resnet import ResNet
from jresnet.models.stem import Stem, StemConv
from jresnet.models.zoo.segmentation import DILATED, layer_of

NetName = Literal[
    "small", "fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101",
    "deeplabv3plus_resnet50", "deeplabv3plus_resnet101", "unet_resnet18", "unet_resnet34",
    "unet_resnet50",
]  # fmt: skip


def small(num_classes: int, depth: int = 14, **backbone: Any) -> Segmenter:
    """A U-Net for small pictures and small machines, of `depth` = 6n + 2 layers in its encoder.

    Two strided convolutions, three stages of n basic blocks with 32, 64 and 128 channels, and a
    decoder of one convolution a level that ends at a quarter of the images' resolution.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise UsageError(f"depth={depth}: expected 6n + 2, such as 8, 14 or 38")
    stem = part(Stem, convs=(StemConv(16, 3, 2), StemConv(32, 3, 2)), pool=None)
    fields: dict[str, Any] = {"widths": (32, 64, 128), "strides": (1, 2, 2), "stem": stem}
    encoder = ResNet((blocks,) * 3, BASIC, **fields | backbone)
    layer = layer_of(encoder)
    head = part(UNetHead, channels=(64, 32), convolutions=1, kernel=1, full=False, layer=layer)
    return UNet(encoder, num_classes, head)


def build(
    name: NetName, num_classes: int, depth: int | None, output_stride: int | None
) -> Segmenter:
    """A net by name. Raises UsageError for an argument that it does not have."""
    if name == "small":
        if output_stride is not None:
            raise UsageError(
                f"output_stride={output_stride}: expected none, net small has no choice"
            )
        return small(num_classes, 14 if depth is None else depth)
    if depth is not None:
        raise UsageError(f"depth={depth}: expected none, net {name} has no choice")
    function = getattr(zoo, name)
    if output_stride is None:
        return function(num_classes)
    if name.startswith("unet"):
        raise UsageError(f"output_stride={output_stride}: expected none, net {name} has no choice")
    if not name.startswith("deeplabv3plus"):
        return function(num_classes, output_stride=output_stride)
    # The paper's rates (arXiv:1802.02611, section 4); the zoo's are segmentation_models_pytorch's.
    rates = (12, 24, 36) if output_stride == 8 else (6, 12, 18)
    body = zoo.resnet50 if name.endswith("resnet50") else zoo.resnet101
    return zoo.deeplabv3plus(body(**DILATED[output_stride]), num_classes, rates=rates)
