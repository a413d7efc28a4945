"""Style transfer by a net: pictures painted anew in one style, in a single pass."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.models.headed import is_scanned, unrolled
from jresnet.models.heads.restyle import Restyler
from jresnet.models.mirrored import apply_mirrored
from jresnet.models.scan import unstack
from jresnet.tasks import styled_pictures
from jresnet.tasks.base import CONSTANTS, Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Picture, Prediction
from jresnet.tasks.style_losses import FeatureLoss, grey, with_colour_of
from jresnet.tasks.tiles import Tiles


@dataclasses.dataclass(frozen=True)
class Stylise:
    """`batch["image"]`, uint8 `[batch, H, W, 3]`: pictures whose content is to stay.

    The model's results are compared in [0, 1] by `criterion`, which finds the loss network and the
    style among the experiment's `constants` (Johnson et al. 2016, arXiv:1603.08155). In training
    half of the pictures are mirrored if `flips`. With `keep_colour` results get the colours of the
    picture, and only their luma is compared.

    Metrics: `loss`, `style`, `content` and `variation` as the criterion gives them; in evaluation
    those of results that are clipped to [0, 1]. There `original/style` is the style loss of the
    pictures as they are, and `change` the mean absolute difference of result and picture. Without
    constants `change` alone.

    In prediction `strength` is the share of the result, the rest is the picture; no criterion is
    needed. Pictures of more pixels than a tile are painted in `tiles`. So that these agree, instance
    norms take in all of them the statistics of the whole picture made smaller (Chen et al. 2021,
    arXiv:2103.11784).

    An example's score is its loss times -1.
    """

    model: Restyler
    criterion: FeatureLoss | None = None
    flips: bool = True
    keep_colour: bool = False
    tiles: Tiles = dataclasses.field(default_factory=lambda: Tiles(768, 64, 4))
    strength: float = 1.0

    # A run of this task predicts without the constants of its loss.
    predicts_without_constants = True

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        rngs = {"params": rng, "dropout": rng}
        return dict(self.model.init(rngs, batch["image"].astype(jnp.float32) / 255, train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, flip = jax.random.split(rng)
        pictures = self._trained_on(batch, flip)
        kept = of_model(variables)
        state = [key for key in kept if key != "params"]
        ours, new = self.model.apply(
            kept, pictures, train=True, rngs={"dropout": dropout}, mutable=state
        )
        losses, parts = self._compared(ours, pictures, variables[CONSTANTS])
        return losses.mean(), (dict(new), _totals({"loss": losses, **parts}, batch))

    def _trained_on(self, batch: Batch, rng: Array) -> Array:
        pictures = batch["image"].astype(jnp.float32) / 255
        if not self.flips:
            return pictures
        turn = jax.random.bernoulli(rng, shape=(len(pictures), 1, 1, 1))
        return jnp.where(turn, pictures[:, :, ::-1], pictures)

    def _compared(
        self, ours: Array, pictures: Array, constants: Any
    ) -> tuple[Array, dict[str, Array]]:
        if self.criterion is None:
            raise ValueError("criterion=None: expected a FeatureLoss to train by")
        if self.keep_colour:
            ours, pictures = grey(ours), grey(pictures)
        return self.criterion(ours, pictures, constants)

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        pictures = batch["image"].astype(jnp.float32) / 255
        return _totals(self._measured(variables, pictures), batch)

    def _measured(self, variables: Variables, pictures: Array) -> dict[str, Array]:
        """Each picture's metrics, `[batch]`."""
        ours = self._finished(self._whole(variables, pictures), pictures)
        measured = {"change": jnp.abs(ours - pictures).mean((1, 2, 3))}
        if CONSTANTS in variables:
            losses, parts = self._compared(ours, pictures, variables[CONSTANTS])
            _, before = self._compared(pictures, pictures, variables[CONSTANTS])
            measured |= {"loss": losses, **parts, "original/style": before["style"]}
        return measured

    def _whole(self, variables: Variables, pictures: Array) -> Array:
        """The model's results for pictures without padding."""
        result: Any = self.model.apply(of_model(variables), pictures, train=False)
        return result

    def _finished(self, ours: Array, pictures: Array) -> Array:
        """Results in [0, 1], with the pictures' colours if these are kept."""
        ours = jnp.clip(ours, 0.0, 1.0)
        return with_colour_of(pictures, ours) if self.keep_colour else ours

    def scores(self, variables: Variables, batch: Batch) -> Array:
        measured = self._measured(variables, batch["image"].astype(jnp.float32) / 255)
        return -measured.get("loss", measured["change"])

    def painted(self, variables: Variables, pictures: Array, sizes: Array) -> Array:
        """Results for pictures `[batch, H, W, 3]` in [0, 1] with real parts of `sizes`, `[batch, 2]`."""
        net, kept = self.model, of_model(variables)
        if is_scanned(net):
            net, kept = unrolled(net), unstack(kept)
        height, width = pictures.shape[1:3]
        factor = math.ceil(math.sqrt(height * width) / self.tiles.side)
        if factor <= 1:
            return apply_mirrored(net, kept, pictures, sizes)[0]
        small = reduced(pictures, factor, net.reduction)
        _, moments = apply_mirrored(net, kept, small, sizes // factor)

        def paint(part: Array, real: Array) -> Array:
            rows, columns = real[..., 0].max(2), real[..., 0].max(1)
            inside = jnp.stack([rows.sum(1), columns.sum(1)], 1).astype(jnp.int32)
            return apply_mirrored(net, kept, part, inside, moments)[0]

        rows, columns = (
            jnp.arange(side)[None] < sizes[:, axis, None]
            for axis, side in enumerate((height, width))
        )
        real = (rows[:, :, None] & columns[:, None])[..., None].astype(jnp.float32)
        return self.tiles.enlarge(paint, pictures, real)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`picture`, the result, of the type of `batch["image"]`.

        `batch["padding"]`, int `[batch, 2]`, are rows below and columns at the right of whole
        pictures that are none of them. Patches, as in evaluation, have none, and where the constants
        are there `style` and `original` beside the result, `[batch]`: the style losses of result and
        picture.
        """
        image = batch["image"]
        white = float(np.iinfo(image.dtype).max)
        pictures = image.astype(jnp.float32) / white
        results = {}
        if "padding" in batch:
            sizes = jnp.asarray([image.shape[1:3]]) - batch["padding"]
            ours = self.painted(variables, pictures, sizes)
        else:
            ours = self._whole(variables, pictures)
            if CONSTANTS in variables:
                measured = self._measured(variables, pictures)
                names = {"style": "style", "original": "original/style"}
                results = {name: measured[metric] for name, metric in names.items()}
        ours = self._finished(ours, pictures)
        mixed = self.strength * ours + (1 - self.strength) * pictures
        return {"picture": jnp.floor(white * mixed + 0.5).astype(image.dtype), **results}

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return {"image": file, "low": True}

    def columns(self, classes: Sequence[str]) -> Sequence[Column]:
        del classes
        return Column("pixels", right=True), Column("bits", right=True)

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        return styled_pictures.presented(results["picture"], case, draw, self.keep_colour)

    def legend(self, classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
        del classes
        return ()

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        """The picture and its result, side by side."""
        return styled_pictures.shown(results, case)

    def pictures(self, batch: Batch, rng: Array) -> Array:
        """The pictures that `loss`, called with the same, is given, in [0, 1]."""
        _, flip = jax.random.split(rng)
        return self._trained_on(batch, flip)


def tiles_for(net: Restyler, side: int = 768) -> Tiles:
    """Tiles of about `side` pixels with margins as wide as `net` sees."""
    step = net.reduction
    margin = -(-net.reach // step) * step
    return Tiles(-(-max(side, 3 * margin) // step) * step, margin, step)


def of_model(variables: Variables) -> dict[str, Any]:
    """The variables that are the model's."""
    return {name: tree for name, tree in variables.items() if name != CONSTANTS}


def reduced(pictures: Array, factor: int, step: int) -> Array:
    """Pictures `factor` times as small, the means of squares, with sides of multiples of `step`.

    `[batch, H, W, channels]`; below and at the right zeros are added.
    """
    batch, height, width, channels = pictures.shape
    rows, columns = height // factor, width // factor
    cut = pictures[:, : rows * factor, : columns * factor]
    small = cut.reshape(batch, rows, factor, columns, factor, channels).mean((2, 4))
    return jnp.pad(small, [(0, 0), (0, -rows % step), (0, -columns % step), (0, 0)])


def _totals(measured: Mapping[str, Array], batch: Batch) -> Metrics:
    valid = batch.get("valid")
    metrics = {name: total(values, valid) for name, values in measured.items()}
    examples, _ = total(jnp.ones(len(batch["image"])), valid)
    return metrics | {"examples": (examples, jnp.ones(()))}
