"""Semantic segmentation: a class for every pixel of an image or voxel of a volume."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jresnet.data.augment.geometry import IGNORED, Place, carry, chain
from jresnet.report.drawing import side_by_side
from jresnet.report.label_maps import blended, class_colours, coloured, with_legend
from jresnet.tasks.base import Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Legend, Picture, Prediction
from jresnet.tasks.classify import Augmentation, augmented
from jresnet.tasks.map_losses import CrossEntropy, MapLoss
from jresnet.tasks.map_scores import (
    classes_of,
    confusion_matrices,
    labelled,
    map_metrics,
    mean_iou,
    scores_of,
)

CROSS_ENTROPY = CrossEntropy()
SMALLEST_SHARE = 0.001  # of a picture; classes below it have no line in `predict`'s table


@dataclasses.dataclass(frozen=True)
class Segment:
    """`batch["image"]` uint8 `[batch, *size, channels]`, `batch["map"]` int `[batch, *size]`.

    Pixels of 255 (`geometry.IGNORED`) count for nothing. A net with one output tells class 1 from
    class 0 by a sigmoid; other nets tell classes by a softmax. In training images go through
    `pixel_augment` as floats in [0, 255], then always through `normalize`; then, in training,
    image and map are moved together by `places` (`jresnet.data.augment.geometry`), where what comes
    from outside of an image is 0 and ignored.

    The training loss is `criterion` of the map, plus `auxiliary` times that of the net's `aux`. The
    levels of deep supervision weigh half as much one after the other, all together 1.

    Metrics: `loss` (in training that of the batch; in evaluation cross-entropy in nats, the mean over
    pixels), and from the confusion matrix of the whole split `mean_iou`, `mean_dice` (means over the
    classes that occur in truth or prediction), `pixel_accuracy`, `mean_accuracy` (over the classes
    that occur in the truth), and `iou/NAME` and `dice/NAME` for each class.

    An example's score is its mean IoU over the classes in its truth.
    """

    model: nn.Module
    normalize: Callable[[Array], Array]
    criterion: MapLoss = CROSS_ENTROPY
    auxiliary: float = 0.4
    places: tuple[Place, ...] = ()
    pixel_augment: tuple[Augmentation, ...] = ()
    classes: tuple[str, ...] = ()

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        rngs = {"params": rng, "dropout": rng}
        return dict(self.model.init(rngs, self.normalize(batch["image"]), train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, colour, place = jax.random.split(rng, 3)
        batch = self.moved(batch, colour, place)
        state = [key for key in variables if key != "params"]
        output, new_state = self.model.apply(
            variables, batch["image"], train=True, rngs={"dropout": dropout}, mutable=state
        )
        maps = output if isinstance(output, Mapping) else {"out": output}
        losses = [
            weight * self._criterion(maps[name], batch) for name, weight in self.weights(maps)
        ]
        value = sum(losses[1:], losses[0])
        rows = jnp.full(len(batch["map"]), value)
        metrics = {"loss": total(rows, batch.get("valid"))} | map_metrics(maps["out"], batch)
        return value, (dict(new_state), metrics)

    def moved(self, batch: Batch, colour: Array, place: Array) -> dict[str, Array]:
        """The batch as the net sees it in training."""
        images = augmented(colour, batch["image"], self.pixel_augment, jnp.float32)
        batch = {**batch, "image": self.normalize(images)}
        if not self.places:
            return batch
        count, *size = batch["map"].shape
        return carry(batch, chain(place, self.places, count, tuple(size)))

    def weights(self, maps: Mapping[str, Array]) -> list[tuple[str, float]]:
        """The weight of each of the net's maps in the loss."""
        count = sum(name.startswith("level") for name in maps)
        levels = ["out", *(f"level{number}" for number in range(1, count + 1))]
        shares = [0.5**number for number in range(len(levels))]
        weights = [(name, share / sum(shares)) for name, share in zip(levels, shares, strict=True)]
        return [*weights, *([("aux", self.auxiliary)] if "aux" in maps else [])]

    def _criterion(self, logits: Array, batch: Batch) -> Array:
        return self.criterion(logits, *labelled(logits, batch))

    def _logits(self, variables: Variables, batch: Batch) -> Array:
        output: Any = self.model.apply(variables, self.normalize(batch["image"]), train=False)
        return output["out"] if isinstance(output, Mapping) else output

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        return self.measured(self._logits(variables, batch), batch)

    def measured(self, logits: Array, batch: Batch) -> Metrics:
        """The metrics of logits `[batch, *size, classes]` in evaluation."""
        labels, counted = labelled(logits, batch)
        number = jnp.sum(counted.astype(jnp.float32))
        mean = CrossEntropy()(logits, labels, counted)
        return {"loss": (mean * number, number)} | map_metrics(logits, batch)

    def summary(self, totals: Metrics) -> dict[str, float]:
        """Losses, and the scores of the confusion matrix."""
        loss, count = totals["loss"]
        confusion = np.asarray(totals["confusion"][0], np.float64)
        return {"loss": float(loss) / max(float(count), 1)} | scores_of(confusion, self.classes)

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`map`: the class of each pixel, uint8 `[batch, *size]`, or int32 above 255 classes."""
        return {"map": classes_of(self._logits(variables, batch))}

    def scores(self, variables: Variables, batch: Batch) -> Array:
        logits = self._logits(variables, batch)
        return jax.vmap(mean_iou)(confusion_matrices(logits, batch))

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return {"image": file}

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        return Column("class", tuple(classes)), Column("share", right=True)

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        labels = case.map_to_original(results["map"], outside=IGNORED)
        numbers, counts = np.unique(labels[labels != IGNORED], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        numbers, shares = numbers[order], counts[order] / labels.size
        names = [case.class_name(number) for number in numbers]
        told = list(zip(names, shares.tolist(), strict=True))
        rows = [(name, f"{share:.4f}") for name, share in told if share >= SMALLEST_SHARE]
        record = [
            {"class": name, "number": int(number), "share": share, "pixels": int(pixels)}
            for (name, share), number, pixels in zip(told, numbers, counts[order], strict=True)
        ]
        if not draw:
            return Prediction(rows, {"classes": record})
        colours = self._colours(case.classes, int(numbers.max(initial=0)))
        legend = [(colours[number], name) for number, name in zip(numbers, names, strict=True)]
        drawing = with_legend(blended(case.picture(), labels, colours), legend)
        images = {"map": labels, "colours": coloured(labels, colours)}
        return Prediction(rows, {"classes": record}, drawing, images)

    def legend(self, classes: Sequence[str]) -> Legend:
        names = classes or self.classes
        return list(zip(class_colours(len(names)), names, strict=True))

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        """The image, the truth and the prediction side by side; of a volume its middle slice."""
        image, truth, labels = case.picture(), case.arrays["map"], results["map"]
        while truth.ndim > 2:
            image, truth, labels = (x[len(x) // 2] for x in (image, truth, labels))
        colours = self._colours(
            case.classes, int(max(truth[truth != IGNORED].max(initial=0), labels.max()))
        )
        maps = [blended(image, each, colours) for each in (truth, labels)]
        return Picture(side_by_side([image, *maps]), "image, truth, prediction")

    def _colours(self, classes: Sequence[str], largest: int) -> list[str]:
        return class_colours(max(len(classes), len(self.classes), largest + 1))
