"""timm's name and configuration for a net that timm has too."""

import inspect
from typing import Any

from jresnet.data.crops import ResizeCenterCrop
from jresnet.data.normalisation import Normalize
from jresnet.errors import UsageError
from jresnet.models.features import feature_info
from jresnet.models.headed import Headed
from jresnet.models.heads import Classifier
from jresnet.models.layers import BatchNorm
from jresnet.models.resnet import ResNet
from jresnet.models.zoo import imagenet, timm
from jresnet.weights.layouts import layout_of
from jresnet.weights.nets import zoo_functions
from jresnet.weights.recorded import Recorded

# Fields of a backbone that change how it trains or computes, and neither its parameters nor the
# results of an evaluation in float32.
_TRAINING = {
    "dtype": None, "scan": False, "remat": "none", "frozen": (), "drop_path": 0.0,
    "zero_init_residual": False, "before_pool": False,
}  # fmt: skip


def timm_name(model: Headed) -> str | None:
    """The name of a net in timm: that of the zoo's function which builds the same; None if there is none."""
    if not isinstance(model, Classifier) or not isinstance(model.backbone, ResNet):
        return None
    evaluated = _evaluated(model)
    for name, build in zoo_functions().items():
        if build.__module__ not in (imagenet.__name__, timm.__name__):
            continue
        if "num_classes" not in inspect.signature(build).parameters:
            continue
        if _evaluated(build(num_classes=model.num_classes)) == evaluated:
            return name
    return None


def _evaluated(model: Classifier) -> tuple[Any, ...]:
    """A classifier's backbone as an evaluation sees it, and the number of its classes."""
    backbone: Any = model.backbone
    changed, norm = dict(_TRAINING), backbone.norm(parent=None)
    # Its groups are of training alone.
    if type(norm) is BatchNorm and norm.epsilon == BatchNorm.epsilon:
        changed["norm"] = BatchNorm
    return backbone.clone(**changed), model.num_classes


def timm_prepares(recorded: Recorded) -> bool:
    """Whether timm can prepare a run's images: pictures of colours, normalised by channel."""
    return len(recorded.image) == 3 == recorded.image[-1] and isinstance(
        recorded.normalize(), Normalize
    )


def pretrained_config(architecture: str, model: Headed, recorded: Recorded) -> dict[str, Any]:
    """The entries of `config.json` by which timm builds a classifier and cuts its pictures."""
    assert isinstance(model, Classifier)
    layout = layout_of(model)
    height, width, channels = recorded.image
    settings: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "input_size": [channels, height, width],
        "fixed_input_size": False,
        "interpolation": "bilinear",
        "first_conv": layout.torch_name(_first(model)).removesuffix(".weight"),
        "classifier": layout.torch_name(("head", "kernel")).removesuffix(".weight"),
    }
    normalize = recorded.normalize()
    if isinstance(normalize, Normalize):
        settings |= {"mean": list(normalize.mean), "std": list(normalize.std)}
    try:
        transform = recorded.transform()
    except UsageError:  # images that are no pictures of any size
        transform = None
    if isinstance(transform, ResizeCenterCrop):
        settings |= {"crop_pct": transform.crop / transform.resize, "crop_mode": "center"}
        settings["interpolation"] = transform.interpolation
        settings["input_size"] = [channels, transform.crop, transform.crop]
    entries: dict[str, Any] = {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": feature_info(model)[-1].channels,
        "pretrained_cfg": settings,
    }
    if classes := recorded.parts.get("classes"):
        entries["label_names"] = classes
    return entries


def _first(model: Classifier) -> tuple[str, ...]:
    """The path of the kernel of the first convolution."""
    backbone: Any = model.backbone
    deep = len(backbone.stem(parent=None).convs) > 1
    return "backbone", "stem", "conv1" if deep else "conv", "kernel"
