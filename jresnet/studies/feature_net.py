"""Nets whose features are looked at and not trained: for perceptual and style losses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jresnet.data.normalisation import IMAGENET
from jresnet.errors import UsageError
from jresnet.models.headed import backbone_of
from jresnet.models.part import part
from jresnet.models.shortcuts import NoShortcut
from jresnet.weights.nets import load_net, net_of


class FeatureNet(NamedTuple):
    """The backbone of a net, with its variables.

    - backbone: a `ResNet`.
    - variables: its own, `{"params", "batch_stats"}`: an experiment's `constants`, or part of them.
    - normalize: makes its input of pixels from 0 to 255.
    - channels: of its input.
    """

    backbone: Any
    variables: dict[str, Any]
    normalize: Any
    channels: int

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of its features: stem or before_pool, then stage1 and so on."""
        first = "before_pool" if self.backbone.before_pool else "stem"
        return (first, *(f"stage{number}" for number in range(1, len(self.backbone.depths) + 1)))

    def check(self, argument: str, layer: str) -> None:
        """Raises UsageError, for the argument of that name, if the net has no such layer."""
        known = tuple(dict.fromkeys((self.layers[0], "stem", *self.layers[1:])))
        if layer not in known:
            raise UsageError(f"{argument}={layer}: expected one of {', '.join(known)}")

    def before_pool(self) -> "FeatureNet":
        """The same net; where its stem ends with a pool, its first layer is the map before that.

        This is conv1 after its ReLU, the first layer of Wang et al. 2021 (arXiv:2104.05623).
        """
        if self.backbone.stem(parent=None).pool is None:
            return self
        return self._replace(backbone=self.backbone.clone(before_pool=True))

    def without_shortcuts(self) -> "FeatureNet":
        """The same weights in the net whose blocks have no shortcuts."""
        return self._replace(backbone=self.backbone.clone(shortcut=part(NoShortcut)))

    def with_random_weights(self, seed: int) -> "FeatureNet":
        """The same net with random weights; BatchNorm's statistics are 0 and 1."""
        image = jnp.zeros((1, *(32,) * 2, self.channels), jnp.float32)
        init = jax.jit(lambda key: self.backbone.init(key, image, train=False))
        return self._replace(variables=init(jax.random.key(seed)))


def read_feature_net(
    weights: Path, net: str, arguments: Mapping[str, Any] | None = None
) -> FeatureNet:
    """The backbone of a trained net.

    Args:
        weights: a run's folder, or a file in torch's layout for `net`.
        net: a function of the zoo; a run knows its own.
        arguments: of that function; those that are None are left to it.

    A run's own normalisation is used; for a file that of torchvision's ImageNet weights, which
    akamaster's CIFAR-10 nets were trained with too. Raises UsageError for weights that are not the
    net's.
    """
    chosen, rest = net_of(weights, net, arguments or {})
    loaded = load_net(chosen, rest, weights)
    normalize = loaded.recorded.normalize() if loaded.recorded else IMAGENET
    variables = {kind: tree["backbone"] for kind, tree in loaded.variables.items()}
    return FeatureNet(backbone_of(loaded.model), variables, normalize, loaded.channels)


def fresh_feature_net(
    net: str, arguments: Mapping[str, Any] | None = None, seed: int = 0
) -> FeatureNet:
    """The backbone of a net of the zoo with random weights.

    Arguments as in `read_feature_net`. Raises UsageError for a net that is not there.
    """
    chosen, rest = net_of(None, net, arguments or {})
    rest = {name: value for name, value in rest.items() if value is not None}
    body = FeatureNet(backbone_of(chosen.build(**rest)), {}, IMAGENET, chosen.image[-1])
    return body.with_random_weights(seed)


def net_in_words(weights: Path | None, net: str) -> str:
    """Such as "cifar_resnet with weights of resnet20.npz", for a page."""
    if weights is None:
        return f"{net} with random weights"
    return f"net of the run {weights.name}" if weights.is_dir() else f"{net} with weights of {weights.name}"  # fmt: skip


def colour_feature_net(
    weights: Path | None,
    net: str,
    depth: int | None = None,
    seed: int = 0,
    argument: str = "weights",
) -> FeatureNet:
    """A net for pictures in colour: trained, or without `weights` one with random weights.

    `depth` is that of nets that have one to choose; cifar_resnet has 20 layers without it. Raises
    UsageError, also for a net of other channels than three; `argument` is that of the weights.
    """
    depth = 20 if depth is None and net == "cifar_resnet" else depth
    arguments = {"depth": depth}
    if weights is None:
        body = fresh_feature_net(net, arguments, seed)
    else:
        body = read_feature_net(weights, net, arguments)
    if body.channels != 3:
        field = f"net={net}" if weights is None else f"{argument}={weights}"
        raise UsageError(f"{field}: expected a net of 3 channels, this one takes {body.channels}")
    return body
