"""Super-resolution: pictures made larger, learnt from pictures that were made smaller."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.augment.resize import Kind, as_bytes, resize
from jresnet.data.augment.turns import COUNT, randomly_turned, returned, turned
from jresnet.models.headed import backbone_of
from jresnet.models.heads.upsample import Upscaler
from jresnet.models.padded import apply_padded
from jresnet.tasks import upscaled_pictures
from jresnet.tasks.base import CONSTANTS, Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Picture, Prediction
from jresnet.tasks.picture_losses import Absolute, PictureLoss
from jresnet.tasks.picture_scores import luma, psnr, scores
from jresnet.tasks.tiles import Tiles

LARGEST_MAP = 1 << 28  # values of a tile's largest features, 1 GiB
LARGEST_PSNR = 100.0  # dB, that of equal pictures


@dataclasses.dataclass(frozen=True)
class Upscale:
    """`batch["image"]`, uint8 `[batch, H, W, channels]`: the truth, of which the smaller one is made.

    It is reduced by the model's scale on the device, as `kind` says, and rounded as a file would
    be. A `batch["reduced"]`, uint8 `[batch, H / scale, W / scale, channels]`, is enlarged instead. In
    training the truth is a square patch, laid in one of eight ways if `turns`; `criterion` compares
    the model's result with it in [0, 1].

    In evaluation `batch["padding"]`, int `[batch, 2]`, are rows below and columns at the right that
    are none of the picture; results and scores are those of the picture alone. Large pictures are
    enlarged in `tiles`.

    Metrics: `loss`, in training that of `criterion`, in evaluation the mean absolute difference; in
    training `psnr_rgb`. In evaluation, with results rounded to 8 bits and a
    border of `scale` pixels left out, the means over pictures of `psnr_y` and `psnr_rgb` in dB, of
    `ssim_y` and `ssim_rgb`, and the same for bicubic enlargement as `bicubic/psnr_y` and so on. `_y` is
    BT.601's luma from 16 to 235. With `ensemble` also for the mean over the picture's eight ways to
    lie (self-ensemble, arXiv:1511.02228), as `ensemble/psnr_y`. SSIM leaves out pictures with no
    room for a window of 11 pixels.

    An example's score is its `psnr_y`.
    """

    model: Upscaler
    criterion: PictureLoss = dataclasses.field(default_factory=Absolute)
    kind: Kind = "matlab"
    turns: bool = True
    tiles: Tiles = dataclasses.field(default_factory=Tiles)
    ensemble: bool = False

    # A run of this task predicts without the constants of its loss.
    predicts_without_constants = True

    @property
    def scale(self) -> int:
        """How many times as large results are."""
        return self.model.scale

    def values(self, shape: Sequence[int]) -> int:
        """The values of the largest array that enlarging a picture of `[H, W, channels]` needs."""
        sides = [min(self.tiles.side, side) for side in shape[:2]]
        features = largest_width(self.model) * sides[0] * sides[1]
        return max(int(np.prod(shape)), features) * self.scale**2

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        rngs = {"params": rng, "dropout": rng}
        low = self.reduced(batch["image"].astype(jnp.float32))
        return dict(self.model.init(rngs, low / 255, train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, place = jax.random.split(rng)
        low, truth = self.patches(batch, place)
        ours, state = self.enlarged(variables, low, dropout)
        losses = self.criterion(ours, truth / 255, variables.get(CONSTANTS))
        return losses.mean(), (state, self.training_metrics(losses, ours, truth, batch))

    def patches(self, batch: Batch, rng: Array) -> tuple[Array, Array]:
        """Reduced patches and the truth as they are trained on, float32 from 0 to 255."""
        truth = batch["image"].astype(jnp.float32)
        truth = randomly_turned(rng, truth) if self.turns else truth
        if "reduced" not in batch:
            return self.reduced(truth), truth
        low = batch["reduced"].astype(jnp.float32)
        return randomly_turned(rng, low) if self.turns else low, truth

    def enlarged(
        self, variables: Variables, low: Array, dropout: Array
    ) -> tuple[Array, dict[str, Any]]:
        """The model's result in training of patches from 0 to 255, and its new state."""
        kept = self.of_model(variables)
        state = [key for key in kept if key != "params"]
        ours, new = self.model.apply(
            kept, low / 255, train=True, rngs={"dropout": dropout}, mutable=state
        )
        return ours, dict(new)

    def training_metrics(self, losses: Array, ours: Array, truth: Array, batch: Batch) -> Metrics:
        """`loss` and `psnr_rgb` of a training batch."""
        valid = batch.get("valid")
        pictures = jax.lax.stop_gradient(jnp.clip(255 * ours, 0, 255))
        quality = psnr(pictures, truth, border=min(self.scale, truth.shape[1] // 4))
        return {
            "loss": total(losses, valid),
            "psnr_rgb": total(jnp.minimum(quality, LARGEST_PSNR), valid),
            "examples": (total(jnp.ones(len(truth)), valid)[0], jnp.ones(())),
        }

    def of_model(self, variables: Variables) -> dict[str, Any]:
        """The variables that are the model's."""
        return {name: tree for name, tree in variables.items() if name != CONSTANTS}

    def reduced(self, truth: Array, sizes: Array | None = None) -> Array:
        """Pictures made smaller by the scale, whole numbers from 0 to 255."""
        return resize(truth, Fraction(1, self.scale), self.kind, sizes)

    def bicubic(self, low: Array, sizes: Array | None = None) -> Array:
        """Pictures made larger without a net, whole numbers from 0 to 255."""
        return resize(low, Fraction(self.scale), self.kind, sizes)

    def upscaled(
        self, variables: Variables, low: Array, sizes: Array, ensemble: bool = False
    ) -> Array:
        """Pictures in [0, 1] with real parts of `sizes`, `[batch, 2]`, enlarged by the net."""
        kept = self.of_model(variables)
        real = self._inside(low, sizes)

        def net(pictures: Array, real: Array) -> Array:
            if not ensemble:
                return apply_padded(self.model, kept, pictures, real)
            ways = [
                returned(apply_padded(self.model, kept, turned(pictures, n), turned(real, n)), n)
                for n in range(COUNT)
            ]
            return sum(ways[1:], ways[0]) / COUNT

        return self.tiles.enlarge(net, low, real)

    def read(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Truth, reduced picture, result in [0, 1] and as bytes, bicubic, and sizes of a batch."""
        truth = batch["image"].astype(jnp.float32)
        whole = jnp.asarray([truth.shape[1:3]])
        sizes = jnp.broadcast_to(whole, (len(truth), 2)) - batch.get("padding", 0)
        stored = batch.get("reduced")
        low = self.reduced(truth, sizes) if stored is None else stored.astype(jnp.float32)
        ours = self.upscaled(variables, low / 255, sizes // self.scale)
        reading = {"truth": truth, "low": low, "sizes": sizes, "ours": ours}
        reading["bicubic"] = self.bicubic(low, sizes // self.scale)
        return reading | {"result": as_bytes(255 * ours)}

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        reading, valid = self.read(variables, batch), batch.get("valid")
        truth, sizes = reading["truth"], reading["sizes"]
        inside = self._inside(truth, sizes)
        off = jnp.abs(reading["ours"] - truth / 255).mean(-1, keepdims=True) * inside
        losses = jnp.sum(off, (1, 2, 3)) / jnp.sum(inside, (1, 2, 3))
        metrics = {"loss": total(losses, valid)}
        pictures = {"": reading["result"], "bicubic/": reading["bicubic"]}
        if self.ensemble:
            seen = self.upscaled(
                variables, reading["low"] / 255, sizes // self.scale, ensemble=True
            )
            pictures["ensemble/"] = as_bytes(255 * seen)
        measured = jax.vmap(lambda each: scores(each, truth, sizes, self.scale))(
            jnp.stack([*pictures.values()])
        )
        for name, values in measured.items():
            # Equal pictures, such as white ones, have no error, and no mean.
            capped = jnp.minimum(values, LARGEST_PSNR) if name.startswith("psnr") else values
            for title, row in zip(pictures, capped, strict=True):
                known = ~jnp.isnan(row)
                counted = known if valid is None else known & (valid > 0)
                metrics[f"{title}{name}"] = total(jnp.where(counted, row, 0.0), counted)
        examples, _ = total(jnp.ones(len(truth)), valid)
        return metrics | {"examples": (examples, jnp.ones(()))}

    def summary(self, totals: Metrics) -> dict[str, float]:
        """Means; an SSIM that no picture has room for is left out."""
        return {
            name: float(value) / float(count)
            for name, (value, count) in totals.items()
            if name != "examples" and float(count)
        }

    @staticmethod
    def _inside(pictures: Array, sizes: Array) -> Array:
        rows, columns = (
            jnp.arange(side)[None] < sizes[:, axis, None]
            for axis, side in enumerate(pictures.shape[1:3])
        )
        return (rows[:, :, None] & columns[:, None])[..., None].astype(jnp.float32)

    def scores(self, variables: Variables, batch: Batch) -> Array:
        reading = self.read(variables, batch)
        ours, truth = luma(reading["result"]), luma(reading["truth"])
        return psnr(ours, truth, reading["sizes"], self.scale)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`picture`, the enlarged picture, of the type of `batch["image"]`.

        Where that is the truth, as in evaluation, the reduced one is enlarged; `bicubic` and
        `reduced` are beside it.
        """
        if "low" not in batch:
            reading = self.read(variables, batch)
            return {
                "picture": reading["result"].astype(jnp.uint8),
                "bicubic": reading["bicubic"].astype(jnp.uint8),
                "reduced": reading["low"].astype(jnp.uint8),
            }
        low = batch["image"]
        white = float(np.iinfo(low.dtype).max)
        height, width = low.shape[1:3]
        sizes = jnp.asarray([[height, width]]) - batch["padding"]
        sizes = jnp.maximum(sizes, 1)  # rows of a batch that no file fills
        for axis in (0, 1):  # the last row and column of each, continued
            place = jnp.minimum(jnp.arange(low.shape[1 + axis])[None], sizes[:, axis, None] - 1)
            low = jnp.take_along_axis(low, place[:, None, :, None] if axis else place[:, :, None, None], 1 + axis)  # fmt: skip
        ours = self.upscaled(variables, low.astype(jnp.float32) / white, sizes, self.ensemble)
        picture = jnp.clip(jnp.floor(white * ours + 0.5), 0, white)
        return {"picture": picture.astype(batch["image"].dtype)}

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return {"image": file, "low": True}

    def columns(self, classes: Sequence[str]) -> Sequence[Column]:
        del classes
        return Column("pixels", right=True), Column("enlarged", right=True)

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        return upscaled_pictures.presented(results["picture"], case, self.scale, draw)

    def legend(self, classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
        del classes
        return ()

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        """The part where bicubic is most wrong: reduced, bicubic, the result and the truth."""
        return upscaled_pictures.shown(results, case, self.scale)

    def pictures(self, batch: Batch, rng: Array) -> Array:
        """The reduced patches that `loss`, called with the same, is given, in [0, 1]."""
        _, place = jax.random.split(rng)
        return self.patches(batch, place)[0] / 255


def largest_width(net: Upscaler) -> int:
    """Channels of the features; before a shuffle the head has as many values at the new size."""
    return max(backbone_of(net).widths)


def tiles_for(net: Upscaler, side: int = 192) -> Tiles:
    """Tiles without seams for a net: of `side` pixels, larger for one that sees far.

    Half of a tile's side is new then, as long as its features stay below 1 GiB: EDSR's large net,
    which sees 68 pixels, has tiles of 256 pixels at x4, in which 120 are new.
    """
    fitting = math.isqrt(LARGEST_MAP // (largest_width(net) * net.scale**2))
    side = max(side, min(4 * net.reach, fitting), 2 * net.reach + 32)
    return Tiles(side, net.reach)
