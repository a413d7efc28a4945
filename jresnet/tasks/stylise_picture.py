"""Style transfer by optimisation: the parameters are the picture.

Gatys et al. 2016 (arXiv:1508.06576), with the features of any net that `style_losses` takes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.augment.resize import as_bytes
from jresnet.report.drawing import side_by_side
from jresnet.tasks.base import CONSTANTS, Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Legend, Picture
from jresnet.tasks.style_losses import FeatureLoss, grey, with_colour_of


@dataclasses.dataclass(frozen=True)
class StylisePicture:
    """`params["picture"]` float32 `[count, H, W, 3]` in [0, 1] takes on a style.

    A batch is all pictures, as `jresnet.data.one_batch` gives them; `batch["row"]` says which row
    of the parameters a row of it is about. Style and content losses are relative: 1 is the style
    loss of the content picture itself, and the content loss of a picture whose every position has
    the content's mean feature. So one pair of weights serves all nets, layers and smoothings. Each
    picture is optimised as if it were alone: the losses of a batch are added up.

    Fresh parameters are noise; the content picture is to be given as the experiment's `start`, and
    what `prepared` makes as its `constants`.

    Metrics: `loss`, the weighted sum; relative `style` and `content`; `variation`. In evaluation
    also `judged_style` if there is a `judge`: the relative style loss of another net or smoothing,
    which is not minimised. With `keep_colour` only luma is compared, and results have the luma of
    `params` and the colours of `batch["image"]`.
    """

    criterion: FeatureLoss
    count: int = 1
    keep_colour: bool = False
    judge: FeatureLoss | None = None
    unit = "picture"

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        shape = (self.count, *batch["image"].shape[1:])
        noise = 0.5 + 0.25 * jax.random.normal(rng, shape)
        return {"params": {"picture": jnp.clip(noise, 0.0, 1.0)}}

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        del rng
        parts = self.measured(variables, batch)
        metrics = {name: total(values, batch["share"]) for name, values in parts.items()}
        return jnp.sum(parts["loss"] * batch["share"]), ({}, metrics | _examples(batch))

    def measured(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`loss` and its relative parts for each row, `[batch]`."""
        constants, rows = variables[CONSTANTS], batch["row"]
        pictures = self.seen(variables["params"]["picture"][rows])
        _, parts = self.criterion.of_features(pictures, constants["wanted"][rows], constants)
        units = constants["units"]
        parts |= {name: parts[name] / units[name][rows] for name in ("style", "content")}
        return {"loss": self.criterion.weighted(parts), **parts}

    def seen(self, pictures: Array) -> Array:
        """Pictures as they are compared: without colour if that is kept."""
        return grey(pictures) if self.keep_colour else pictures

    def judged(self, variables: Variables, batch: Batch) -> Array:
        """The relative style loss by the judge, `[batch]`."""
        assert self.judge is not None
        constants, rows = variables[CONSTANTS]["judge"], batch["row"]
        pictures = self.seen(variables["params"]["picture"][rows])
        grams = self.judge.grams(self.judge.features(constants["net"], pictures))
        losses = self.judge.of_style(grams, self.judge.targets(constants))
        return losses / constants["units"]["style"][rows]

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        parts = self.measured(variables, batch)
        if self.judge is not None:
            parts["judged_style"] = self.judged(variables, batch)
        metrics = {name: total(values, batch["valid"]) for name, values in parts.items()}
        return metrics | _examples(batch)

    def result(self, picture: Array, content: Array) -> Array:
        """Optimised pictures, float32 `[batch, H, W, 3]`, as they are to be seen, in [0, 1]."""
        return with_colour_of(content, picture) if self.keep_colour else jnp.clip(picture, 0.0, 1.0)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`picture`, uint8 `[batch, H, W, 3]`."""
        pictures = variables["params"]["picture"][batch["row"]]
        content = batch["image"].astype(jnp.float32) / 255
        return {"picture": as_bytes(255 * self.result(pictures, content)).astype(jnp.uint8)}

    def legend(self, classes: Sequence[str]) -> Legend:
        del classes
        return ()

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        """The content picture and the result, side by side."""
        content = np.asarray(case.arrays["image"])
        return Picture(side_by_side([content, np.asarray(results["picture"])]), "content, result")


def prepared(
    criterion: FeatureLoss,
    net: Any,
    styles: Sequence[np.ndarray],
    content: np.ndarray,
    keep_colour: bool = False,
) -> dict[str, Any]:
    """The constants of a `StylisePicture`: the net, and what it makes of style and content.

    Args:
        criterion: of the task.
        net: variables of its backbone.
        styles: float32 `[h, w, 3]` in [0, 1] each, of any sizes.
        content: float32 `[n, H, W, 3]` in [0, 1].
        keep_colour: of the task.

    Returns:
        `net`; `grams` of the styles, `{layer: [k, c, c]}`; `wanted`, the content layer's features
        `[n, h, w, c]`; and `units`, `{"style": [n], "content": [n]}`, the losses that count as 1.
        A loss that cannot be other than 0 has the unit 1.
    """

    def features(pictures: np.ndarray) -> dict[str, Array]:
        seen = jnp.asarray(pictures, jnp.float32)
        return criterion.compiled_features(net, grey(seen) if keep_colour else seen)

    each = [criterion.grams(features(style[None])) for style in styles]
    grams = {layer: jnp.concatenate([one[layer] for one in each]) for layer in criterion.style}
    # One by one: the pictures of a batch count as if each were alone.
    alone = [features(picture[None]) for picture in content]
    targets = criterion.targets({"grams": grams})
    style = [criterion.of_style(criterion.grams(one), targets) for one in alone]
    wanted = jnp.concatenate([one[criterion.content] for one in alone])
    spread = jnp.square(wanted - wanted.mean((1, 2), keepdims=True)).mean((1, 2, 3))
    units = {"style": _unit(jnp.concatenate(style)), "content": _unit(spread)}
    return {"net": net, "grams": grams, "wanted": wanted, "units": units}


def _unit(losses: Array) -> Array:
    return jnp.where(losses > 0, losses, 1.0)


def _examples(batch: Batch) -> Metrics:
    counted, _ = total(jnp.ones(len(batch["row"])), batch.get("valid"))
    return {"examples": (counted, jnp.ones(()))}
