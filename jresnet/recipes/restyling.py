"""Recipes of nets that paint pictures in one style."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jresnet.data.info import Dataset
from jresnet.data.patches import MiddlePatch, RandomPatch
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.pictures import enough
from jresnet.experiment import Experiment
from jresnet.models.heads.restyle import Restyler
from jresnet.recipes.changes import with_changes
from jresnet.tasks.style_losses import FeatureLoss, Plain, Scaled, grey
from jresnet.tasks.stylise import Stylise, tiles_for
from jresnet.train.loop import Plan
from jresnet.train.optim import scheduled
from jresnet.train.schedules import ramped_cosine

RecipeName = Literal["small", "johnson"]


@dataclasses.dataclass(frozen=True)
class RestyleRecipe:
    """How nets that paint pictures are trained, by Adam.

    - patch: side in pixels of the patches of content pictures.
    - shorter: pixels of the shorter side that content pictures are resized to before; None leaves
      them as they are.
    - style_size: pixels of the longer side of the style pictures.
    - style_weight: weight of the style loss. That is the mean over layers of the squared difference
      of Gram matrices, where 1 is the mean square of the style's own.
    - content_weight: weight of the content loss, where 1 is the variance over places of the style
      pictures' features. So one pair of weights serves nets and layers of all scales.
    - variation_weight: weight of the total variation.
    - schedule: `cosine` after a ramp of a tenth of the steps, or `constant`.
    """

    steps: int
    batch_size: int
    learning_rate: float
    patch: int
    shorter: int | None = None
    style_size: int = 256
    style_weight: float = 1.0
    content_weight: float = 0.02
    variation_weight: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    eval_batch_size: int = 8

    def data(self, pictures: Dataset, **fields: Any) -> ImageData:
        """The set's splits "train" and "test" as patches of content pictures."""
        return ImageData(
            enough(pictures, self.batch_size),
            self.batch_size,
            self.eval_batch_size,
            train_transform=RandomPatch(self.patch, shorter=self.shorter),
            eval_transform=MiddlePatch(self.patch, shorter=self.shorter),
            fill=True,
            **fields,
        )

    def criterion(
        self, net: Any, styles: Sequence[np.ndarray], keep_colour: bool = False, **fields: Any
    ) -> tuple[FeatureLoss, dict[str, Any]]:
        """The loss with the recipe's weights, and its constants.

        Args:
            net: variables of the loss network.
            styles: float32 `[h, w, 3]` in [0, 1] each, of any sizes.
            keep_colour: whether only luma is compared.
            fields: of `FeatureLoss`: its backbone, layers, smoothing and blend.
        """
        loss = FeatureLoss(**fields)
        # By the units of scaled features a scale would cancel out.
        raw = isinstance(loss.smoothing, Scaled)
        measure = dataclasses.replace(loss, smoothing=Plain()) if raw else loss
        features = jax.jit(measure.features)
        pictures = [jnp.asarray(style, jnp.float32)[None] for style in styles]
        seen = [features(net, grey(each) if keep_colour else each) for each in pictures]
        unit = measure.targets({"grams": _grams(measure, seen)})
        sizes = [float(jnp.square(unit[layer]).mean()) for layer in loss.style]
        spreads = [float(one[loss.content].var((1, 2)).mean()) for one in seen]
        smoothed = [loss.smoothed(one) for one in seen] if raw else seen
        constants = jax.device_get({"net": net, "grams": _grams(loss, smoothed)})
        return dataclasses.replace(
            loss,
            layer_weights=tuple(_share(1.0, size * len(sizes)) for size in sizes),
            style_weight=self.style_weight,
            content_weight=_share(self.content_weight, sum(spreads) / len(spreads)),
            variation_weight=self.variation_weight,
        ), constants

    def experiment(
        self,
        net: Restyler,
        data: ImageData,
        criterion: FeatureLoss,
        constants: Any,
        keep_colour: bool = False,
    ) -> Experiment:
        """The training of `net`.

        Args:
            net: a `Restyler`.
            data: as `data` gives it.
            criterion: as `criterion` gives it,
            constants: with these.
            keep_colour: whether results keep the colours of the pictures.
        """
        task = Stylise(net, criterion, keep_colour=keep_colour, tiles=tiles_for(net))
        every = max(1, self.steps // 4)
        plan = Plan(
            self.steps,
            data.seed,
            save_every=every,
            log_every=max(1, self.steps // 100),
            final_splits=("test",),
        )
        rate = self.rate()
        optimizer = scheduled(optax.adam(rate), rate)
        return Experiment(task, data, optimizer, plan, constants=constants)

    def rate(self) -> optax.Schedule:
        """The learning rate at each step."""
        if self.schedule == "cosine":
            return ramped_cosine(self.learning_rate, self.steps)
        return optax.constant_schedule(self.learning_rate)

    def changed(self, **changes: Any) -> "RestyleRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


def _grams(loss: FeatureLoss, seen: Sequence[dict[str, jax.Array]]) -> dict[str, jax.Array]:
    """The Gram matrices of several pictures' features, `[pictures, c, c]` for each layer."""
    grams = [loss.grams(one) for one in seen]
    return {layer: jnp.concatenate([each[layer] for each in grams]) for layer in loss.style}


def _share(weight: float, unit: float) -> float:
    """`weight / unit`, to four digits, so that a net on another machine has the same; 0 is 1."""
    return float(f"{weight / unit:.4g}") if unit > 0 else weight


RECIPES: dict[RecipeName, RestyleRecipe] = {
    # Minutes on two CPU cores.
    "small": RestyleRecipe(2000, 4, 4e-3, 96),
    # pytorch/examples, fast_neural_style: two epochs of 80,000 pictures, Adam at 1e-3.
    "johnson": RestyleRecipe(40_000, 4, 1e-3, 256, 256, 512, schedule="constant"),
}
