"""Layouts of nets that make pictures: BasicSR's, that of EDSR's authors, and pytorch/examples'."""

import dataclasses

from jresnet.models.headed import Headed, backbone_of
from jresnet.models.heads.restyle import Johnson
from jresnet.models.heads.upsample import EDSR, MSRResNet
from jresnet.weights.layout import Layout
from jresnet.weights.names import Path

_BODY = {
    "backbone/stem/conv": "conv_first",
    "backbone/stage1/block{n}/conv{m}": "body.{n-1}.conv{m}",
    "head/out": "conv_last",
}
_BLOCK = r"body\.0\.conv1\.weight"


def _none(path: Path) -> str:
    raise KeyError("/".join(path))


BASICSR_MSRRESNET = Layout(
    "BasicSR MSRResNet",
    _none,
    (_BLOCK, r"conv_hr\.weight"),
    {**_BODY, "head/up{n}": "upconv{n}", "head/refine": "conv_hr"},
    classes=None,
    nets=(MSRResNet,),
)
BASICSR_EDSR = Layout(
    "BasicSR EDSR",
    _none,
    (_BLOCK, r"conv_after_body\.weight"),
    # `upsample` has a shuffle after each convolution.
    {
        **_BODY,
        "head/closing": "conv_after_body",
        "head/up1": "upsample.0",
        "head/up2": "upsample.2",
        "head/up3": "upsample.4",
    },
    classes=None,
    nets=(EDSR,),
)
# Lim et al.'s own code. The convolution after the blocks is the last of `body`, see `of_edsr`.
# `sub_mean` and `add_mean` are the mean colour, which is a constant of the net here.
EDSR_PYTORCH = Layout(
    "EDSR-PyTorch",
    _none,
    (r"body\.0\.body\.0\.weight", r"tail\.0\.0\.weight"),
    {
        "backbone/stem/conv": "head.0",
        "backbone/stage1/block{n}/conv1": "body.{n-1}.body.0",
        "backbone/stage1/block{n}/conv2": "body.{n-1}.body.2",
        "head/up1": "tail.0.0",
        "head/up2": "tail.0.2",
        "head/up3": "tail.0.4",
        "head/out": "tail.1",
    },
    classes=None,
    ignored=(r"(sub|add)_mean\.(weight|bias)",),
)
FAST_NEURAL_STYLE = Layout(
    "pytorch/examples fast_neural_style",
    _none,
    (r"res1\.conv1\.conv2d\.weight", r"deconv3\.conv2d\.weight"),
    {
        "backbone/stem/conv{n}": "conv{n}.conv2d",
        "backbone/stem/norm{n}": "in{n}",
        "backbone/stage1/block{n}/conv{m}": "res{n}.conv{m}.conv2d",
        "backbone/stage1/block{n}/norm{m}": "res{n}.in{m}",
        "head/up{n}": "deconv{n}.conv2d",
        "head/norm{n}": "in{n+3}",
        "head/out": "deconv3.conv2d",
    },
    classes=None,
    nets=(Johnson,),
    # torch before 0.4 kept statistics that it did not use.
    ignored=(r"(res\d+\.)?in\d+\.running_(mean|var)",),
)


def of_edsr(layout: Layout, net: Headed) -> Layout:
    """The form that the layout of EDSR's authors has for a net of so many blocks; others as they are."""
    if layout is not EDSR_PYTORCH:
        return layout
    closing = {"head/closing": f"body.{sum(backbone_of(net).depths)}"}
    return dataclasses.replace(layout, table={**layout.table, **closing})
