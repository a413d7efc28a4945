"""Parameters of nets with heads, layer by layer, from torchvision's counts of their classifiers."""

import pytest

from jresnet.models import zoo
from jresnet.models.published import cards

# Blocks of the stages, width between the convolutions of the first, parameters with 1000 classes.
CLASSIFIERS = {
    "resnet18": ((2, 2, 2, 2), None, 11_689_512),
    "resnet34": ((3, 4, 6, 3), None, 21_797_672),
    "resnet50": ((3, 4, 6, 3), 64, 25_557_032),
    "resnext50_32x4d": ((3, 4, 6, 3), 128, 25_028_904),
    "resnet101": ((3, 4, 23, 3), 64, 44_549_160),
    "resnext101_32x8d": ((3, 4, 23, 3), 256, 88_791_336),
}
NORM = 2  # a scale and a bias a channel


def channels(name):
    """Channels of the stem and of each stage."""
    wide = 1 if CLASSIFIERS[name][1] is None else 4
    return [64, *(wide * width for width in (64, 128, 256, 512))]


def body(name):
    """Parameters without the last layer."""
    return CLASSIFIERS[name][2] - 1000 * (channels(name)[-1] + 1)


def norms(name):
    """Parameters of the norms of a net of bottlenecks."""
    depths, inner, _ = CLASSIFIERS[name]
    stages = enumerate(zip(depths, channels(name)[1:], strict=True))
    return NORM * (64 + sum(d * (2 * inner * 2**n + out) + out for n, (d, out) in stages))


def conv(before, after, kernel=3, bias=1):
    """A convolution with a bias, none, or a norm in its place."""
    return kernel**2 * before * after + bias * after


def separable(before, after):
    return 9 * before + conv(before, after, 1, NORM)


def unet(name, classes):
    """smp: a level takes what is below it and the feature of its resolution; two convolutions."""
    *skips, x = channels(name)
    total = 0
    for skip, width in zip([*skips[::-1], 0], (256, 128, 64, 32, 16), strict=True):
        total += conv(x + skip, width, 3, NORM) + conv(width, width, 3, NORM)
        x = width
    return body(name) + total + conv(x, classes)


def deeplabv3plus(name, classes):
    """smp: ASPP of separable convolutions, one after it, one after the join with 48 channels."""
    _, fine, *_, x = channels(name)
    aspp = 2 * conv(x, 256, 1, NORM) + 3 * separable(x, 256) + conv(5 * 256, 256, 1, NORM)
    joined = conv(fine, 48, 1, NORM) + separable(256 + 48, 256)
    return body(name) + aspp + separable(256, 256) + joined + conv(256, classes, 1)


def rcnn(name, kind, classes, version=1):
    """torchvision: a pyramid of 256 channels, three anchors a position, regions of 7 x 7."""
    bias = 1 if version == 1 else NORM
    square = conv(256, 256, 3, bias)
    pyramid = sum(conv(x, 256, 1, bias) + square for x in channels(name)[1:])
    first = version * conv(256, 256) + conv(256, 3 + 12, 1)
    dense = conv(49 * 256, 1024, 1) + (conv(1024, 1024, 1) if version == 1 else 4 * square)
    second = dense + conv(1024, 5 * classes, 1)
    heads = {
        "fasterrcnn": 0,
        "maskrcnn": 4 * square + conv(256, 256, 2) + conv(256, classes, 1),
        "keypointrcnn": conv(256, 512) + 7 * conv(512, 512) + conv(512, 17, 4),
    }
    trained = body(name) - (norms(name) if version == 1 else 0)
    return trained + pyramid + first + second + heads[kind]


def counted(name):
    """A net's parameters, by its name."""
    kind, _, backbone = name.partition("_")
    if kind == "unet":
        return unet(backbone, 1)
    if kind == "deeplabv3plus":
        return deeplabv3plus(backbone, 1)
    version = 2 if name.endswith("_v2") else 1
    backbone = backbone.removesuffix("_v2").removesuffix("_fpn")
    return rcnn(backbone, kind, 2 if kind == "keypointrcnn" else 91, version)


HEADS = ("unet_", "deeplabv3plus_", "fasterrcnn_", "maskrcnn_", "keypointrcnn_")
NAMES = [name for name, build in vars(zoo).items() if name.startswith(HEADS) and cards(build)]


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_are_those_of_the_layers(name):
    card = cards(getattr(zoo, name))[-1]
    assert card.parameters == counted(name)


def test_encoders_that_others_publish_weights_of_have_a_name():
    """segmentation_models_pytorch's Unet and DeepLabV3Plus; detectron2's R50, R101 and X101."""
    detectors = {
        f"{kind}_{backbone}_fpn"
        for kind in ("fasterrcnn", "maskrcnn", "keypointrcnn")
        for backbone in ("resnet50", "resnet101", "resnext101_32x8d")
    }
    encoders = ("resnet18", "resnet34", "resnet50", "resnet101")
    maps = {f"{kind}_{encoder}" for kind in ("unet", "deeplabv3plus") for encoder in encoders}
    assert detectors | maps | {"unet_resnext50_32x4d", "maskrcnn_resnet101_fpn_v2"} < set(NAMES)
