"""Detection: boxes, masks and keypoints of objects, by a two-stage detector."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.data.augment.geometry import carry
from jresnet.models.detection.assignment import Objects
from jresnet.models.detection.stages import Training
from jresnet.models.heads.rcnn import RCNN
from jresnet.tasks import detection_case
from jresnet.tasks.base import Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Legend, Picture, Prediction
from jresnet.tasks.classify import Augmentation, augmented
from jresnet.tasks.detect_losses import BETA, detection_losses
from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.objects import (
    crowds,
    detected,
    f1,
    in_original,
    mirror_images,
    true_objects,
    truth_in_original,
    within,
)

SCORES = DetectionScores()


@dataclasses.dataclass(frozen=True)
class Detect:
    """`batch["image"]` uint8 `[batch, *size, channels]` and its objects, see `data.with_boxes`.

    An image fills the upper left part of its place, `batch["size"]` (height, width); the rest is
    zeros once `normalize` has been applied. In training images go through `pixel_augment` as floats
    in [0, 255], and are mirrored with the probabilities `mirror`: left and right, top and bottom.
    `mirrored` has the number of the keypoint that takes each one's place in a mirror image.

    Anchors and regions of an image are drawn by the key of the step and `batch["index"]`, the number
    of its example. Batches of training have no `index`: there its place in the whole batch counts,
    which is a function of seed and step. That one device and eight train alike rests on this.

    Padding and objects of crowds are no objects: no anchor or region matches them.

    Metrics: `loss`, the sum of `loss/objectness` and `loss/rpn_box` of the first stage, `loss/class`
    and `loss/box` of the second, and `loss/mask` and `loss/keypoint` of nets with such heads. In
    training those of the batch (`detect_losses`); in evaluation each image's own, averaged over
    images, so that they do not depend on the batches.

    `measured_by` has the rules of average precision and FROC, see `DetectionCollector`.

    `categories` are the ids of the classes in COCO's format, where the set has them.

    `beta` is that of the smooth L1 loss. An example's score is the F1 of its detections at an IoU of
    0.5 that are at least `certain`.
    """

    model: RCNN
    normalize: Callable[[Array], Array]
    pixel_augment: tuple[Augmentation, ...] = ()
    mirror: tuple[float, float] = (0.5, 0.0)
    mirrored: tuple[int, ...] | None = None
    classes: tuple[str, ...] = ()
    categories: tuple[int, ...] = ()
    beta: float = BETA
    certain: float = 0.5
    measured_by: DetectionScores = SCORES

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        rngs = {"params": rng, "dropout": rng}
        return dict(self.model.init(rngs, self.normalize(batch["image"]), train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, colour, place, drawn = jax.random.split(rng, 4)
        batch = self.moved(batch, colour, place)
        state = [key for key in variables if key != "params"]
        output, new_state = self.model.apply(
            variables,
            batch["image"],
            train=True,
            sizes=batch["size"],
            objects=true_objects(batch),
            key=drawn,
            index=batch.get("index"),
            rngs={"dropout": dropout},
            mutable=state,
        )
        valid = batch.get("valid")
        losses = with_sum(detection_losses(output.training, valid, self.beta))
        rows = jnp.ones(len(batch["image"]))
        metrics = {name: total(rows * each, valid) for name, each in losses.items()}
        metrics["examples"] = total(rows, valid)[0], jnp.ones(())
        return losses["loss"], (dict(new_state), metrics)

    def moved(self, batch: Batch, colour: Array, place: Array) -> dict[str, Array]:
        """The batch as the net sees it in training."""
        images = augmented(colour, batch["image"], self.pixel_augment, jnp.float32)
        batch = {**batch, "image": within(self.normalize(images), batch["size"])}
        if not any(self.mirror):
            return batch
        warp = mirror_images(place, batch["size"], batch["image"].shape[1:3], self.mirror)
        return carry(batch, warp, mirrored=self.mirrored)

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        return self.measured(variables, batch)[0]

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Detections and truth of each image, in pixels of the original (`detection_records`)."""
        return self.measured(variables, batch)[1]

    def collector(self) -> DetectionCollector:
        """A fresh one, for one pass over a split."""
        return DetectionCollector(self.measured_by, self.classes)

    def measured(self, variables: Variables, batch: Batch) -> tuple[Metrics, dict[str, Array]]:
        """Metrics and outputs, from one pass of the net."""
        output = self._apply(variables, batch, true_objects(batch))

        def alone(training: Training) -> dict[str, Array]:
            return detection_losses(jax.tree.map(lambda x: x[None], training), beta=self.beta)

        losses = jax.vmap(alone)(output.training)
        valid = batch.get("valid")
        metrics = {name: total(each, valid) for name, each in with_sum(losses).items()}
        metrics["examples"] = total(jnp.ones(len(batch["image"])), valid)[0], jnp.ones(())
        results = detected(output.detections)
        places = {
            name: in_original(results[name], batch["place"])
            for name in ("boxes", "keypoints")
            if name in results
        }
        return metrics, truth_in_original(batch) | results | places

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """Detections in pixels of the prepared image, by falling score; see `detected`."""
        return detected(self._apply(variables, batch, None).detections)

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return {"image": file}

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        return (
            Column("class", (*classes, "nothing")),
            Column("number", ("1000",), right=True),
            Column("surest", ("1.000",), right=True),
        )

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        return detection_case.present(case, results, self.certain, draw, self.categories)

    def legend(self, classes: Sequence[str]) -> Legend:
        del classes
        return ()  # every drawing has its own

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        """Truth and prediction in one picture: hits, false positives and missed objects."""
        return detection_case.show(case, results, self.certain)

    def scores(self, variables: Variables, batch: Batch) -> Array:
        detections = self._apply(variables, batch, None).detections
        truth = true_objects(batch), crowds(batch)
        return jax.vmap(lambda d, o, c: f1(d, o, self.certain, c))(detections, *truth)

    def _apply(self, variables: Variables, batch: Batch, objects: Objects | None) -> Any:
        images = within(self.normalize(batch["image"]), batch["size"])
        return self.model.apply(
            variables,
            images,
            train=False,
            sizes=batch["size"],
            objects=objects,
            index=batch.get("index"),
            detections=True,
        )


def with_sum(losses: Mapping[str, Array]) -> dict[str, Array]:
    """The losses under the names of `Detect`'s metrics, and their sum as `loss`."""
    named = {f"loss/{name}": each for name, each in losses.items()}
    return {"loss": sum(list(losses.values())[1:], next(iter(losses.values()))), **named}
