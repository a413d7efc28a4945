"""Layouts of nets that enlarge pictures: BasicSR's, and that of EDSR's authors."""

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
