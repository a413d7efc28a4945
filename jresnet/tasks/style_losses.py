"""Losses of style and content: differences of a trained net's features.

Gatys et al. 2016 (arXiv:1508.06576): the style of a picture is the Gram matrices of its features,
its content the features themselves. Residual features are smoothed first if one so wishes: Wang,
Li and Vasconcelos 2021 (arXiv:2104.05623) find them too peaky for Gram matrices.

Pictures are float32 `[batch, H, W, 3]` in [0, 1] everywhere here.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn

from jresnet.tasks.base import Array

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Smoothing(Protocol):
    """A change of features before they are compared: the layer's name and `[batch, h, w, c]` to the same."""

    def __call__(self, layer: str, features: Array) -> Array: ...


@dataclasses.dataclass(frozen=True)
class Plain:
    """Features as they are."""

    def __call__(self, layer: str, features: Array) -> Array:
        del layer
        return features


@dataclasses.dataclass(frozen=True)
class SoftmaxAll:
    """A softmax over all `h * w * c` entries of an example, times their number (SWAG, arXiv:2104.05623).

    The mean is then 1 whatever the picture's size; without the factor, which the authors lack, two
    pictures of different sizes would differ in style for that alone.
    """

    temperature: float = 1.0

    def __call__(self, layer: str, features: Array) -> Array:
        del layer
        shares = jax.nn.softmax(features / self.temperature, axis=(1, 2, 3))
        return features[0].size * shares


@dataclasses.dataclass(frozen=True)
class SoftmaxChannels:
    """A softmax over the channels at each position."""

    temperature: float = 1.0

    def __call__(self, layer: str, features: Array) -> Array:
        del layer
        return jax.nn.softmax(features / self.temperature, axis=-1)


@dataclasses.dataclass(frozen=True)
class Scaled:
    """The features of some layers times a factor: the smoothing that the authors' code runs.

    Theirs are 0.001 and the last two stages of ResNet-50 (peiwang062/swag, `resnet_swag.py`).
    """

    factor: float = 1e-3
    layers: tuple[str, ...] = ("stage3", "stage4")

    def __call__(self, layer: str, features: Array) -> Array:
        return self.factor * features if layer in self.layers else features


@dataclasses.dataclass(frozen=True)
class FeatureLoss:
    """A weighted sum of a style, a content and a variation loss, for each picture.

    Where `constants` is asked for, it is `{"net": ..., "grams": {layer: [k, c, c]}}`: the variables
    of the backbone, and the Gram matrices of `k` style pictures.

    - backbone: net whose features are compared, in evaluation mode.
    - normalize: makes its input of pixels from 0 to 255.
    - style: layers of the Gram matrices, such as ("stem", "stage1").
    - content: layer whose features are compared as they are.
    - style_weight, content_weight, variation_weight: weights of the three losses.
    - smoothing: of the features, before both losses.
    - blend: a weight for each style picture; their Gram matrices' weighted mean is the target.
      Empty: all weigh the same.
    - layer_weights: a weight for each layer of `style`. Empty: all weigh 1.
    """

    backbone: nn.Module
    normalize: Callable[[Array], Array]
    style: tuple[str, ...] = ("stem", "stage1", "stage2", "stage3")
    content: str = "stage2"
    style_weight: float = 1.0
    content_weight: float = 1.0
    variation_weight: float = 0.0
    smoothing: Smoothing = dataclasses.field(default_factory=Plain)
    blend: tuple[float, ...] = ()
    layer_weights: tuple[float, ...] = ()

    def features(self, variables: Any, pictures: Array) -> dict[str, Array]:
        """Smoothed features of the layers that are compared, each `[batch, h, w, c]`.

        Raises ValueError for a layer that the backbone does not have.
        """
        layers = tuple(dict.fromkeys((*self.style, self.content)))
        return self.smoothed(
            features_of(self.backbone, self.normalize, layers, variables, pictures)
        )

    def compiled_features(self, variables: Any, pictures: Array) -> dict[str, Array]:
        """The same by a program that losses of one backbone share, whatever their smoothings."""
        layers = tuple(dict.fromkeys((*self.style, self.content)))
        return self.smoothed(_compiled(self.backbone, self.normalize, layers, variables, pictures))

    def smoothed(self, features: Mapping[str, Array]) -> dict[str, Array]:
        """Features by layer, smoothed."""
        return {layer: self.smoothing(layer, values) for layer, values in features.items()}

    def grams(self, features: Mapping[str, Array]) -> dict[str, Array]:
        """Gram matrices of the style layers, each `[batch, c, c]`."""
        return {layer: gram(features[layer]) for layer in self.style}

    def targets(self, constants: Any) -> dict[str, Array]:
        """The Gram matrices that are aimed at, each `[c, c]`: the styles' weighted mean."""

        def mean(grams: Array) -> Array:
            weights = jnp.asarray(self.blend or (1.0,) * len(grams), jnp.float32)
            if len(weights) != len(grams):
                raise ValueError(f"blend={self.blend}: expected {len(grams)}, one a style")
            return jnp.tensordot(weights / weights.sum(), grams, axes=1)

        return {layer: mean(constants["grams"][layer]) for layer in self.style}

    def of_style(self, grams: Mapping[str, Array], targets: Mapping[str, Array]) -> Array:
        """Mean squared differences of Gram matrices, summed over layers: `[batch]`."""
        factors = self.layer_weights or (1.0,) * len(self.style)
        losses = [
            factor * jnp.square(grams[layer] - targets[layer][None]).mean((1, 2))
            for layer, factor in zip(self.style, factors, strict=True)
        ]
        return sum(losses[1:], losses[0])

    def of_content(self, features: Mapping[str, Array], wanted: Array) -> Array:
        """The mean squared difference to the content layer's features `wanted`: `[batch]`."""
        return jnp.square(features[self.content] - wanted).mean((1, 2, 3))

    def __call__(
        self, pictures: Array, content: Array, constants: Any
    ) -> tuple[Array, dict[str, Array]]:
        """The loss of `pictures` that are to show what `content`, of the same shape, shows.

        Returns:
            The weighted sum `[batch]`, and its parts without weights, `style`, `content` and
            `variation`, each `[batch]`.
        """
        return self.of_features(pictures, self.wanted(content, constants), constants)

    def wanted(self, content: Array, constants: Any) -> Array:
        """Features of the content layer of the pictures `content`, held fixed."""
        features = self.features(constants["net"], content)
        return jax.lax.stop_gradient(features[self.content])

    def of_features(
        self, pictures: Array, wanted: Array, constants: Any
    ) -> tuple[Array, dict[str, Array]]:
        """The loss as in `__call__`, where the content's features are known already."""
        features = self.features(constants["net"], pictures)
        parts = {
            "style": self.of_style(self.grams(features), self.targets(constants)),
            "content": self.of_content(features, wanted),
            "variation": variation(pictures),
        }
        return self.weighted(parts), parts

    def weighted(self, parts: Mapping[str, Array]) -> Array:
        """The weighted sum of the three losses."""
        return (
            self.style_weight * parts["style"]
            + self.content_weight * parts["content"]
            + self.variation_weight * parts["variation"]
        )


def features_of(
    backbone: nn.Module,
    normalize: Callable[[Array], Array],
    layers: tuple[str, ...],
    variables: Any,
    pictures: Array,
) -> dict[str, Array]:
    """Features of some layers, float32 `[batch, h, w, c]` each, in evaluation mode.

    Raises ValueError for a layer that the backbone does not have.
    """
    shown: Any = backbone.apply(variables, normalize(255 * pictures), train=False)
    if strange := [layer for layer in layers if layer not in shown]:
        raise ValueError(f"layer={strange[0]!r}: expected one of {', '.join(shown)}")
    return {layer: shown[layer].astype(jnp.float32) for layer in layers}


_compiled = jax.jit(features_of, static_argnums=(0, 1, 2))


def gram(features: Array) -> Array:
    """`F F^T / (c h w)` of features `[batch, h, w, c]`, as `[batch, c, c]`."""
    size = features[0].size
    flat = features.reshape(len(features), -1, features.shape[-1])
    return jnp.einsum("bpi,bpj->bij", flat, flat) / size


def variation(pictures: Array) -> Array:
    """Total variation: mean absolute difference of neighbours below, plus to the right: `[batch]`.

    A side of one pixel has no neighbours and counts as 0.
    """
    rows, columns = (jnp.abs(jnp.diff(pictures, axis=axis)) for axis in (1, 2))
    one, other = (d.mean((1, 2, 3)) if d.size else jnp.zeros(len(d)) for d in (rows, columns))
    return one + other


def grey(pictures: Array) -> Array:
    """Pictures of the same luma without colour, still in three channels."""
    luma = jnp.tensordot(pictures, jnp.asarray(LUMA, jnp.float32), axes=1)[..., None]
    return jnp.broadcast_to(luma, pictures.shape)


def with_colour_of(content: Array, styled: Array) -> Array:
    """The luma of `styled` with the colours of `content`, clipped to [0, 1].

    Luminance-only transfer of Gatys et al. 2016 (arXiv:1606.05897); style and picture are
    to be compared as `grey` then.
    """
    return jnp.clip(content - grey(content) + grey(styled), 0.0, 1.0)


SMOOTHINGS: dict[str, Smoothing] = {
    "plain": Plain(),
    "softmax-all": SoftmaxAll(),
    "softmax-all-10": SoftmaxAll(10.0),
    "softmax-channels": SoftmaxChannels(),
    "deep-scaled": Scaled(),
}
