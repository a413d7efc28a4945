"""Semantic segmentation: a class for every pixel of an image or voxel of a volume."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jresnet.data.augment.geometry import IGNORED, Place, carry, chain
from jresnet.report.drawing import side_by_side
from jresnet.report.label_maps import blended, class_colours, coloured, with_legend
from jresnet.tasks import volume_pictures
from jresnet.tasks.base import Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Legend, Picture, Prediction
from jresnet.tasks.classify import Augmentation, augmented
from jresnet.tasks.map_losses import CrossEntropy, MapLoss
from jresnet.tasks.map_scores import (
    classes_of,
    confusion_matrices,
    counted_pixels,
    labelled,
    map_metrics,
    mean_iou,
    scores_of,
)
from jresnet.tasks.scales import Scales
from jresnet.tasks.windows import State, Take, Windows, part, put

CROSS_ENTROPY = CrossEntropy()
CONFUSION, VIEWS = "confusion", "views"
SMALLEST_SHARE = 0.001  # of a picture; classes below it have no line in `predict`'s table


@dataclasses.dataclass(frozen=True)
class Segment:
    """`batch["image"]` `[batch, *size, channels]`, `batch["map"]` int `[batch, *size]`.

    Images are uint8, volumes float32 and prepared, with `normalisation.Prepared()` as `normalize`.
    Pixels of 255 (`geometry.IGNORED`) count for nothing. A net with one output tells class 1 from
    class 0 by a sigmoid; other nets tell classes by a softmax. In training images go through
    `pixel_augment` as floats (images in [0, 255]), then always through `normalize`; then, in training,
    image and map are moved together by `places` (`jresnet.data.augment.geometry`), where what comes
    from outside of an image is 0 and ignored.

    The training loss is `criterion` of the map, plus `auxiliary` times that of the net's `aux`. The
    levels of deep supervision weigh half as much one after the other, all together 1.

    In evaluation and prediction the net sees images whole, or with `windows` in parts whose logits
    are blended, for images larger than the training crop. With `views` evaluation also measures
    the mean of the probabilities over several scales and mirror images, each of every window.

    Metrics: `loss` (in training that of the batch; in evaluation cross-entropy in nats, the mean over
    pixels), and from the confusion matrix of the whole split `mean_iou`, `mean_dice` (means over the
    classes that occur in truth or prediction), `pixel_accuracy`, `mean_accuracy` (over the classes
    that occur in the truth), and `iou/NAME` and `dice/NAME` for each class. The first four also for
    the views, as `views/mean_iou` and so on.

    An example's score is its mean IoU over the classes in its truth.
    """

    model: nn.Module
    normalize: Callable[[Array], Array]
    criterion: MapLoss = CROSS_ENTROPY
    auxiliary: float = 0.4
    places: tuple[Place, ...] = ()
    pixel_augment: tuple[Augmentation, ...] = ()
    classes: tuple[str, ...] = ()
    windows: Windows | None = None
    views: Scales | None = None

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

    def _net(self, variables: Variables, images: Array) -> Array:
        output: Any = self.model.apply(variables, images, train=False)
        return output["out"] if isinstance(output, Mapping) else output

    def _fold(
        self,
        variables: Variables,
        batch: Batch,
        initial: State,
        take: Take[State],
        views: Scales | None = None,
    ) -> State:
        """`take` over the logits of all rows, as `Windows.fold` gives them."""
        net = functools.partial(self._net, variables)
        seen = net if views is None else functools.partial(views.logits, net)
        images = self.normalize(batch["image"])
        if self.windows is None:
            return take(initial, 0, seen(images))
        return self.windows.fold(seen, images, initial, take)

    def _read(
        self, variables: Variables, batch: Batch, views: Scales | None = None
    ) -> dict[str, Array]:
        """Each image's `map` and `confusion` matrix, and the `loss` summed over its pixels.

        All three whoever asks: programs that want several then walk over the windows once.
        """

        def take(so_far: dict[str, Array], row: Array | int, logits: Array) -> dict[str, Array]:
            rows = {**batch, "map": part(batch["map"], row, logits.shape[1])}
            labels, counted = labelled(logits, rows)
            mean = CrossEntropy()(logits, labels, counted)
            return {
                "loss": so_far["loss"] + mean * jnp.sum(counted.astype(jnp.float32)),
                "confusion": so_far["confusion"] + confusion_matrices(logits, rows),
                "map": put(so_far["map"], row, classes_of(logits)),
            }

        return self._fold(variables, batch, self._nothing(variables, batch), take, views)

    def _nothing(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """The sums over no row, and an empty map."""
        net = functools.partial(self._net, variables)
        logits = jax.eval_shape(net, jax.eval_shape(self.normalize, batch["image"]))
        classes = max(2, logits.shape[-1])
        dtype = jax.eval_shape(classes_of, logits).dtype
        return {
            "loss": jnp.zeros((), jnp.promote_types(logits.dtype, jnp.float32)),
            "confusion": jnp.zeros((len(batch["image"]), classes, classes), jnp.uint32),
            "map": jnp.zeros(logits.shape[:-1], dtype),
        }

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        return self.measured(variables, batch)[0]

    def measured(self, variables: Variables, batch: Batch) -> tuple[Metrics, dict[str, Array]]:
        """Metrics and outputs, from one walk over the windows."""
        reading = self._read(variables, batch)
        number = jnp.sum(counted_pixels(batch).astype(jnp.float32))
        examples, _ = total(jnp.ones(len(batch["image"])), batch.get("valid"))
        one = jnp.ones(())
        metrics = {
            "loss": (reading["loss"], number),
            CONFUSION: (jnp.sum(reading["confusion"], 0), one),
            "examples": (examples, one),
        }
        if self.views is not None:
            seen = self._read(variables, batch, self.views)["confusion"]
            metrics[f"{VIEWS}/{CONFUSION}"] = jnp.sum(seen, 0), one
        spacing = {"spacing": batch["spacing"]} if "spacing" in batch else {}
        return metrics, {"predicted": reading["map"], "true": batch["map"], **spacing}

    def summary(self, totals: Metrics) -> dict[str, float]:
        """Losses, and the scores of the confusion matrices."""
        loss, count = totals["loss"]
        scores = {"loss": float(loss) / max(float(count), 1)}
        scores |= scores_of(np.asarray(totals[CONFUSION][0], np.float64), self.classes)
        if (key := f"{VIEWS}/{CONFUSION}") in totals:
            seen = scores_of(np.asarray(totals[key][0], np.float64))
            scores |= {f"{VIEWS}/{name}": seen[name] for name in seen if "/" not in name}
        return scores

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`map`: the class of each pixel, uint8 `[batch, *size]`, or int32 above 255 classes."""

        def take(labels: Array, row: Array | int, logits: Array) -> Array:
            return put(labels, row, classes_of(logits))

        empty = self._nothing(variables, batch)["map"]
        return {"map": self._fold(variables, batch, empty, take)}

    def scores(self, variables: Variables, batch: Batch) -> Array:
        return jax.vmap(mean_iou)(self._read(variables, batch)["confusion"])

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`predicted` and `true` `[batch, *size]`; for volumes with a `spacing` also that."""
        return self.measured(variables, batch)[1]

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
        """The image, the truth and the prediction side by side; of a volume three slices."""
        truth, labels = case.arrays["map"], results["map"]
        colours = self._colours(
            case.classes, int(max(truth[truth != IGNORED].max(initial=0), labels.max()))
        )
        if truth.ndim == 3:
            return volume_pictures.shown(results, case, colours)
        image = case.picture()
        maps = [blended(image, each, colours) for each in (truth, labels)]
        return Picture(side_by_side([image, *maps]), "image, truth, prediction")

    def _colours(self, classes: Sequence[str], largest: int) -> list[str]:
        return class_colours(max(len(classes), len(self.classes), largest + 1))
