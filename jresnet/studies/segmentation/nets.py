"""The nets that label maps are learnt with."""

import functools
from collections.abc import Callable, Sequence
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
from jresnet.recipes.volumes import VolumeRecipe

NetName = Literal[
    "small", "fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101",
    "deeplabv3plus_resnet18", "deeplabv3plus_resnet34", "deeplabv3plus_resnet50",
    "deeplabv3plus_resnet101", "unet_resnet18", "unet_resnet34", "unet_resnet50",
    "unet_resnet101", "unet_resnext50_32x4d",
]  # fmt: skip

VolumeNetName = Literal[
    "unet", "medicalnet_resnet10", "medicalnet_resnet18", "medicalnet_resnet34",
    "medicalnet_resnet50", "medicalnet_resnet101", "medicalnet_resnet152", "medicalnet_resnet200",
]  # fmt: skip
# From an output stride to a net; None stands for the stride that the net is trained at.
Build = Callable[[int | None], Segmenter]


def small(num_classes: int, depth: int = 14, **backbone: Any) -> Segmenter:
    """A U-Net for small pictures and small machines, of `depth` = 6n + 2 layers in its encoder.

    Two strided convolutions, three stages of n basic blocks with 48, 96 and 160 channels, and a
    decoder of one convolution a level that ends at a quarter of the images' resolution, where the
    last one has the classes of 4 x 4 pixels: poles and signs are narrower than four.
    """
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise UsageError(f"depth={depth}: expected 6n + 2, such as 8, 14 or 38")
    stem = part(Stem, convs=(StemConv(16, 3, 2), StemConv(24, 3, 2)), pool=None)
    fields: dict[str, Any] = {"widths": (48, 96, 160), "strides": (2, 2, 2), "stem": stem}
    encoder = ResNet((blocks,) * 3, BASIC, **fields | backbone)
    layer = layer_of(encoder)
    head = part(UNetHead, channels=(64, 48, 24), convolutions=1, full=False, shuffle=4, layer=layer)
    return UNet(encoder, num_classes, head)


def build(
    name: NetName,
    num_classes: int,
    depth: int | None = None,
    output_stride: int | None = None,
    multi_grid: tuple[int, ...] = (),
) -> Segmenter:
    """A net by name. Raises UsageError for an argument that it does not have.

    Args:
        name: small, or a net of the zoo.
        num_classes: number of classes.
        depth: layers of the encoder of net small.
        output_stride: 8 or 16 of FCN and DeepLab nets; None for the zoo's own.
        multi_grid: factors of the dilation of each block of the last stage (arXiv:1706.05587,
            section 3.2), for FCN and DeepLab nets.
    """
    dilated = name.startswith(("fcn", "deeplab"))
    for argument, value, known in (
        ("depth", depth, name == "small"),
        ("output_stride", output_stride, dilated),
        ("multi_grid", multi_grid or None, dilated),
    ):
        if value is not None and not known:
            raise UsageError(f"{argument}={value}: expected none, net {name} has no choice")
    if name == "small":
        return small(num_classes, 14 if depth is None else depth)
    if len(multi_grid) not in (0, 3):
        raise UsageError(f"multi_grid={multi_grid}: expected 3 factors, one a block of the stage")
    plus = name.startswith("deeplabv3plus")
    fields: dict[str, Any] = {} if output_stride is None else {"output_stride": output_stride}
    if plus:
        fields = dict(DILATED[output_stride or 16])
    if multi_grid:
        *others, last = fields.get("dilations", (1, 1, 1, 1))
        fields["dilations"] = (*others, tuple(last * factor for factor in multi_grid))
    if not plus or output_stride is None:
        return getattr(zoo, name)(num_classes, **fields)
    # The paper's rates (arXiv:1802.02611, section 4); the zoo's are segmentation_models_pytorch's.
    rates = (12, 24, 36) if output_stride == 8 else (6, 12, 18)
    body = getattr(zoo, name.removeprefix("deeplabv3plus_"))
    return zoo.deeplabv3plus(body(**fields), num_classes, rates=rates)


def volume_net(name: VolumeNetName, recipe: VolumeRecipe, num_classes: int) -> Segmenter:
    """A net for volumes by name: the recipe's residual U-Net, or one of the zoo."""
    return recipe.net(num_classes) if name == "unet" else getattr(zoo, name)(num_classes)


def family(
    name: NetName,
    num_classes: int,
    depths: Sequence[int],
    output_stride: int | None,
    multi_grid: tuple[int, ...],
    plain: bool,
) -> dict[str, Build]:
    """How each net of a study is built, by its title; `plain` adds the twins without shortcuts.

    The other arguments are those of `build`, with several depths of net small. Raises UsageError,
    also when a DeepLabv3+ is built at an output stride without one that it is trained at: its
    rates grow with the stride of the training, and the zoo's own are of no stride.
    """
    nets: dict[str, Build] = {}
    for depth in depths if name == "small" else (None,):
        title = name if depth is None else f"{name}-{depth}"
        usual = functools.partial(_built, name, num_classes, depth, output_stride, multi_grid)
        usual(None)  # an argument that the net lacks is told before anything is read
        nets |= {
            title: usual,
            **({f"plain {title}": functools.partial(_twin, usual)} if plain else {}),
        }
    return nets


def _built(
    name: NetName,
    num_classes: int,
    depth: int | None,
    usual: int | None,
    multi_grid: tuple[int, ...],
    output_stride: int | None,
) -> Segmenter:
    if name.startswith("deeplabv3plus") and output_stride is not None and usual is None:
        raise UsageError(
            f"test_output_stride={output_stride}: expected output_stride too, which {name}'s rates "
            "in training go with"
        )
    return build(name, num_classes, depth, output_stride or usual, multi_grid)


def _twin(build: Build, output_stride: int | None) -> Segmenter:
    return zoo.plain(build(output_stride))
