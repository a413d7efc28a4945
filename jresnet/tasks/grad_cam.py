"""Grad-CAM: where in a picture the score of a class is sensitive to the features of a stage."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jresnet.errors import UsageError
from jresnet.report.drawing import fitted, side_by_side
from jresnet.report.heat import heated, with_words
from jresnet.tasks.base import Array, Batch, Variables
from jresnet.tasks.case import Case, Column, Prediction
from jresnet.tasks.classify import Classify

WARNING = (
    "Grad-CAM of {feature} for the class {name}: bright where these features raise the score. It "
    "outlines nothing, finds no disease, and does not say why; a wrong answer has a map as well."
)


def grad_cam(
    model: nn.Module, variables: Variables, images: Array, feature: str
) -> tuple[Array, Array]:
    """Maps for the class with the highest score (Selvaraju et al. 2016, arXiv:1610.02391, section 3).

    The rectified sum of the feature's channels, each times the mean over space of the score's
    gradient by it.

    Args:
        model: a classifier with a `backbone` that gives a dict of features.
        variables: its variables.
        images: its input, `[batch, *spatial, channels]`.
        feature: a name of that dict.

    Returns:
        Maps `[batch, *spatial of the feature]`, not below 0, and logits `[batch, classes]`.

    Raises:
        UsageError: for a feature that the net does not have.
    """
    features = feature_shapes(model, variables, images)
    if feature not in features:
        raise UsageError(f"saliency={feature!r}: expected one of {', '.join(features)}")
    last = feature == list(features)[-1]
    path = ("backbone",) if last else ("backbone", feature)
    seen: list[Array] = []

    def score(change: Array) -> tuple[Array, tuple[Array, Array]]:
        def changed(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
            result = call(*args, **kwargs)
            if context.method_name != "__call__" or context.module.path != path:
                return result
            seen.append(result[feature] if last else result)
            moved = seen[-1] + change
            return {**result, feature: moved} if last else moved

        seen.clear()
        with nn.intercept_methods(changed):
            logits: Any = model.apply(variables, images, train=False)
        return jnp.sum(jnp.max(logits, -1)), (logits, seen[-1])

    zeros = jnp.zeros(features[feature].shape, features[feature].dtype)
    slopes, (logits, maps) = jax.grad(score, has_aux=True)(zeros)
    space = tuple(range(1, slopes.ndim - 1))
    weights = jnp.mean(slopes, space, keepdims=True)
    return nn.relu(jnp.sum(weights * maps, -1)), logits


def feature_shapes(
    model: nn.Module, variables: Variables, images: Array
) -> dict[str, jax.ShapeDtypeStruct]:
    """The features of a classifier's backbone by name, in their order."""
    names: list[str] = []

    def features(x: Array) -> dict[str, Array]:
        result: Any = model.apply(variables, x, train=False, method="features")
        names.extend(result)  # jax sorts a dict by its keys
        return result

    shapes = jax.eval_shape(features, images)
    return {name: shapes[name] for name in names}


@dataclasses.dataclass(frozen=True)
class Salient:
    """The predictions of a classifier, each drawn with a `grad_cam` of one of its features.

    - task: the classifier's.
    - feature: of its backbone, such as "stage4"; None for the last.
    """

    task: Classify
    feature: str | None = None

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        return self.task.init(rng, batch)

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return self.task.unlabelled(file)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """The task's results, and `saliency` `[batch, H, W]` from 0 to 1, of the likeliest class."""
        images = self.task.normalize(batch["image"])
        maps, _ = grad_cam(self.task.model, variables, images, self.name(variables, images))
        size = batch["image"].shape[:-1]
        heat = jax.image.resize(maps, size, "linear")
        axes = tuple(range(1, heat.ndim))
        heat = heat / jnp.maximum(jnp.max(heat, axes, keepdims=True), 1e-12)
        return {**self.task.predict(variables, batch), "saliency": heat}

    def name(self, variables: Variables, images: Array) -> str:
        """The feature's name."""
        if self.feature is not None:
            return self.feature
        return list(feature_shapes(self.task.model, variables, images))[-1]

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        return self.task.columns(classes)

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        """The task's, drawn with the map beside the picture and a warning below."""
        prediction = self.task.present(results, case, draw)
        if not draw or prediction.drawing is None:
            return prediction
        heat = case.map_to_original(results["saliency"].astype(np.float64), np.nan)  # type: ignore[arg-type]
        picture = case.picture()
        pair = [fitted(picture), fitted(heated(picture, heat))]
        name = case.class_name(int(results["class"][0]))
        words = WARNING.format(feature=self.feature or "the last stage", name=name)
        drawing = with_words(side_by_side(pair), words)
        return dataclasses.replace(prediction, images={**prediction.images, "saliency": drawing})
