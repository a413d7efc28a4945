"""The layout of insightface's `arcface_torch/backbones/iresnet.py`."""

from jresnet.models.heads.embedding import IResNet
from jresnet.weights.classifiers import TORCHVISION
from jresnet.weights.forms import WHOLE_MAP
from jresnet.weights.layout import composed

INSIGHTFACE = composed(
    "insightface",
    TORCHVISION,
    "",
    {
        "backbone/stem/act": "prelu",
        "backbone/stage{s}/block{b}/act1": "layer{s}.{b-1}.prelu",
        "backbone/norm": "bn2",
        "head/linear": ("fc", WHOLE_MAP),
        "head/norm": "features",
    },
    marks=(r"layer1\.0\.prelu\.weight", r"features\.running_mean"),
    nets=(IResNet,),
)
