"""Variants of a feature net, and how evenly their activations are spread."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.recipes.styling import smoothing_named
from jresnet.studies.feature_net import FeatureNet
from jresnet.tasks.style_losses import FeatureLoss, Plain, Smoothing, gram

SMOOTHED = ("softmax-all", "softmax-all-10", "softmax-channels", "deep-scaled")
WORDS = {
    "plain": "the net's features as they are",
    "softmax-all": "a softmax over all entries of a layer's features",
    "softmax-all-10": "the same of the features divided by 10",
    "softmax-channels": "a softmax over the channels at each position",
    "deep-scaled": "the last two stages times 0.001, which the authors' code runs",
    "no-shortcuts": "the same weights, shortcuts removed",
    "plain-net": "a net trained without shortcuts",
    "random": "random weights",
    "random-no-shortcuts": "the same random weights, shortcuts removed",
}


class Variant(NamedTuple):
    """A net and a smoothing of its features."""

    net: FeatureNet
    smoothing: Smoothing

    def loss(self, style: Sequence[str], content: str) -> FeatureLoss:
        """The loss of these layers, all weights 1."""
        return FeatureLoss(
            self.net.backbone,
            self.net.normalize,
            tuple(style),
            content,
            smoothing=self.smoothing,
        )


def variants(
    net: FeatureNet, fresh: FeatureNet | None = None, twin: FeatureNet | None = None
) -> dict[str, Variant]:
    """The variants by name, as `WORDS` has them.

    Args:
        net: the net that is studied.
        fresh: the same with random weights; None where `net` has such weights itself.
        twin: a net that was trained without shortcuts, if there is one.
    """
    chosen = {"plain": Variant(net, Plain())}
    chosen |= {name: Variant(net, smoothing_named(name, net.layers)) for name in SMOOTHED}
    chosen["no-shortcuts"] = Variant(net.without_shortcuts(), Plain())
    if twin is not None:
        chosen["plain-net"] = Variant(twin, Plain())
    if fresh is not None:
        chosen["random"] = Variant(fresh, Plain())
        chosen["random-no-shortcuts"] = Variant(fresh.without_shortcuts(), Plain())
    return chosen


def normalised_entropy(values: np.ndarray) -> np.ndarray:
    """Entropy of `|values|` as shares of their sum, divided by its maximum: `[batch, ...]` to `[batch]`.

    1 where all entries are equal, 0 where one holds everything, NaN where all are 0.
    """
    flat = np.abs(np.asarray(values, np.float64)).reshape(len(values), -1)
    whole = flat.sum(1)
    shares = flat / np.where(whole > 0, whole, 1.0)[:, None]
    # The limit of p log p is 0.
    terms = shares * np.log(np.where(shares > 0, shares, 1.0))
    return np.where(whole > 0, -terms.sum(1) / np.log(flat.shape[1]), np.nan)


def entropies(
    variant: Variant, pictures: Sequence[np.ndarray]
) -> tuple[dict[str, float], dict[str, float]]:
    """Normalised entropy of each layer's features, and of their Gram matrices.

    The pictures are float32 `[H, W, 3]` in [0, 1], measured one by one; means over them.
    """
    layers = variant.net.layers
    loss = variant.loss(layers, layers[0])

    rows = []
    for picture in pictures:
        features = loss.compiled_features(variant.net.variables, jnp.asarray(picture)[None])
        pairs = [(features[layer], gram(features[layer])) for layer in layers]
        rows.append([[normalised_entropy(x)[0] for x in pair] for pair in jax.device_get(pairs)])
    mean = np.mean(rows, axis=0)
    features, grams = (dict(zip(layers, mean[:, k].tolist(), strict=True)) for k in (0, 1))
    return features, grams
