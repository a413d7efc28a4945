"""Trained nets whose features are looked at and not trained: for perceptual and style losses."""

from pathlib import Path
from typing import Any, NamedTuple

from flax import linen as nn

from jresnet.data.normalisation import IMAGENET
from jresnet.errors import UsageError
from jresnet.models.headed import backbone_of
from jresnet.weights.nets import load_net, net_of


class FeatureNet(NamedTuple):
    """The backbone of a net with weights.

    - backbone: a `ResNet`.
    - variables: its own, `{"params", "batch_stats"}`: an experiment's `constants`, or part of them.
    - normalize: makes its input of pixels from 0 to 255.
    - image: `[*spatial, channels]`, the image that the net is for.
    """

    backbone: nn.Module
    variables: dict[str, Any]
    normalize: Any
    image: tuple[int, ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of its features: stem, stage1 and so on."""
        return layer_names(self.backbone)

    def check(self, argument: str, layer: str) -> None:
        """Raises UsageError, for the argument of that name, if the net has no such layer."""
        if layer not in self.layers:
            raise UsageError(f"{argument}={layer}: expected one of {', '.join(self.layers)}")


def read_feature_net(weights: Path, net: str) -> FeatureNet:
    """The backbone of a trained classifier.

    Args:
        weights: a run's folder, or a file in torch's layout for `net`.
        net: a function of the zoo; a run knows its own.

    A run's own normalisation is used; for a file that of torchvision's ImageNet weights, which
    published checkpoints of CIFAR-10 nets are trained with too. Raises UsageError for weights that
    are not the net's.
    """
    chosen, arguments = net_of(weights, net, {})
    loaded = load_net(chosen, arguments, weights)
    normalize = loaded.recorded.normalize() if loaded.recorded else IMAGENET
    variables = {kind: tree["backbone"] for kind, tree in loaded.variables.items()}
    return FeatureNet(backbone_of(loaded.model), variables, normalize, chosen.image)


def layer_names(backbone: Any) -> tuple[str, ...]:
    """The names of a `ResNet`'s features, from its input on."""
    return ("stem", *(f"stage{number}" for number in range(1, len(backbone.depths) + 1)))
