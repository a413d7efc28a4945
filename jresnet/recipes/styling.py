"""Style transfer by optimisation: how a picture is optimised, and what of a net it is compared by."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jresnet.data.one_batch import OneBatch
from jresnet.experiment import Experiment
from jresnet.recipes.changes import with_changes
from jresnet.tasks.style_losses import SMOOTHINGS, FeatureLoss, Scaled, Smoothing
from jresnet.tasks.stylise_picture import StylisePicture, prepared
from jresnet.train.loop import Plan
from jresnet.train.optim import scheduled
from jresnet.train.schedules import ramped_cosine

OptimizerName = Literal["adam", "lbfgs"]
SmoothingName = Literal["plain", "softmax-all", "softmax-all-10", "softmax-channels", "deep-scaled"]


@dataclasses.dataclass(frozen=True)
class StyleRecipe:
    """How a picture is optimised towards the style of others (Gatys et al. 2016, arXiv:1508.06576).

    - steps, learning_rate: Adam's rate is ramped up over a tenth of the steps, then follows half a
      cosine; a pixel's range is 1. L-BFGS has a constant rate.
    - optimizer: `adam`, or `lbfgs` with a memory of 20 steps; like torch's by default, it has no line
      search.
    - begin: from the `content` picture or from `noise`.
    - style_weight, content_weight, variation_weight: of the relative losses of `StylisePicture`.

    The defaults were chosen by eye, with a ResNet-20 of CIFAR-10, one photograph and one painting.
    """

    steps: int = 300
    learning_rate: float = 0.05
    optimizer: OptimizerName = "adam"
    begin: Literal["content", "noise"] = "content"
    style_weight: float = 1.0
    content_weight: float = 0.01
    variation_weight: float = 0.5

    def weigh(self, loss: FeatureLoss) -> FeatureLoss:
        """A loss with the recipe's weights."""
        return dataclasses.replace(
            loss,
            style_weight=self.style_weight,
            content_weight=self.content_weight,
            variation_weight=self.variation_weight,
        )

    def experiment(
        self,
        criterion: FeatureLoss,
        net: Any,
        styles: Sequence[np.ndarray],
        content: np.ndarray,
        names: tuple[str, ...],
        *,
        keep_colour: bool = False,
        batch_size: int | None = None,
        judge: tuple[FeatureLoss, dict[str, Any]] | None = None,
        seed: int = 0,
    ) -> Experiment:
        """The optimisation of pictures of one size, all at once.

        Args:
            criterion: as `weigh` gives it.
            net: variables of its backbone.
            styles: float32 `[h, w, 3]` in [0, 1] each.
            content: float32 `[n, H, W, 3]` in [0, 1].
            names: of the content pictures.
            keep_colour: whether results keep the colours of the content.
            batch_size: rows of a batch, at least `n`; see `OneBatch`.
            judge: a loss that results are also measured by, and what `prepared` makes for it.
            seed: of the noise.
        """
        constants = prepared(criterion, net, styles, content, keep_colour)
        if judge is not None:
            constants["judge"] = {name: judge[1][name] for name in ("net", "grams", "units")}
        task = StylisePicture(
            criterion, len(content), keep_colour, None if judge is None else judge[0]
        )
        pixels = np.rint(255 * content).astype(np.uint8)
        plan = Plan(
            self.steps,
            seed,
            eval_every=max(1, self.steps // 20),
            save_every=max(1, self.steps // 4),
            log_every=max(1, self.steps // 100),
        )
        data = OneBatch(pixels, names, batch_size)
        start = {"params": {"picture": content}} if self.begin == "content" else None
        return Experiment(task, data, self.method(), plan, start, constants=constants)

    def method(self) -> optax.GradientTransformation:
        """The optimizer, which keeps pixels between 0 and 1."""
        if self.optimizer == "lbfgs":
            constant = optax.constant_schedule(self.learning_rate)
            rule = optax.lbfgs(self.learning_rate, memory_size=20, linesearch=None)
            return scheduled(optax.chain(rule, within(0.0, 1.0)), constant)
        rate = ramped_cosine(self.learning_rate, self.steps)
        return scheduled(optax.chain(optax.adam(rate), within(0.0, 1.0)), rate)

    def changed(self, **changes: Any) -> "StyleRecipe":
        """The recipe with other fields; those that are None stay."""
        return with_changes(self, changes)


def within(low: float, high: float) -> optax.GradientTransformation:
    """The last of a chain: parameters that an update would take out of a range stop at its end."""

    def update(updates: Any, params: Any = None) -> Any:
        if params is None:
            raise ValueError("params=None: expected the parameters that are updated")
        return jax.tree.map(lambda u, p: jnp.clip(p + u, low, high) - p, updates, params)

    return optax.stateless(update)


def smoothing_named(name: str, layers: Sequence[str]) -> Smoothing:
    """A smoothing of `SMOOTHINGS` for a net with these layers.

    `deep-scaled` takes the last two stages: the authors' code scales those of ResNet-50.
    """
    chosen = SMOOTHINGS[name]
    if isinstance(chosen, Scaled):
        return dataclasses.replace(chosen, layers=tuple(layers[-2:]))
    return chosen


def chosen_layers(
    layers: Sequence[str], style: Sequence[str] = (), content: str | None = None
) -> tuple[tuple[str, ...], str]:
    """Style layers and content layer of a net with these layers.

    By default the stem and every stage, and the last stage but one: those of the authors of
    arXiv:2104.05623 (`resnet_swag.py`), whose net has four stages.
    """
    return tuple(style or layers), content or layers[max(0, len(layers) - 2)]


def by_size(pictures: Mapping[str, np.ndarray]) -> list[list[str]]:
    """Names of the pictures `[H, W, 3]` in groups of one size, in their order."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, pixels in pictures.items():
        groups.setdefault(pixels.shape, []).append(name)
    return list(groups.values())
