"""Image classification with softmax cross-entropy."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jresnet.report.colours import BLUE, VERMILION
from jresnet.report.drawing import with_bars
from jresnet.tasks.base import CONSTANTS, Array, Batch, Metrics, Variables, total
from jresnet.tasks.case import Case, Column, Picture, Prediction

LIKELIEST = 5  # classes that `predict` tells

Augmentation = Callable[[Array, Array], Array]


class Mixed(Protocol):
    """Images of a batch mixed with each other, and how targets follow."""

    @property
    def images(self) -> Array: ...

    def targets(self, targets: Array, /) -> Array: ...


class Forward(NamedTuple):
    """One pass in training.

    - images: the net's input, augmented and mixed.
    - logits: its output.
    - targets: the criterion's, smoothed and mixed.
    - state: the collections that the net changed.
    - features: of its backbone, if they were asked for.
    """

    images: Array
    logits: Array
    targets: Array
    state: dict[str, Any]
    features: Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Classify:
    """`batch["image"]` uint8 `[batch, *spatial, channels]`, `batch["label"]` int `[batch]`.

    In training each of `pixel_augment` is called as `op(rng, pixels)` on floats in [0, 255]; then,
    always, `normalize`; then, in training, each of `augment` on the result, and last `mix`
    (`jresnet.data.augment.mix`). `criterion(logits, targets)` is one number for each example. Metrics: `loss` (cross-entropy in nats,
    in training against the smoothed and mixed targets), `error` (fraction), and `top5_error` where
    there are more than ten classes. An example's score is the log-probability of its class.
    """

    model: nn.Module
    normalize: Callable[[Array], Array]
    augment: tuple[Augmentation, ...] = ()
    label_smoothing: float = 0.0
    mix: Callable[[Array, Array], Mixed] | None = None
    pixel_augment: tuple[Augmentation, ...] = ()
    criterion: Callable[[Array, Array], Array] = optax.softmax_cross_entropy

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        # With train=True, so that a batch that BatchNorm cannot group is refused here.
        rngs = {"params": rng, "dropout": rng}
        return dict(self.model.init(rngs, self.normalize(batch["image"]), train=True))

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        passed = self.forward(variables, batch, rng)
        losses = self.criterion(passed.logits, passed.targets)
        return losses.mean(), (passed.state, self.metrics(losses, passed.logits, batch))

    def forward(
        self, variables: Variables, batch: Batch, rng: Array, features: bool = False
    ) -> "Forward":
        """The net in training mode; with `features` also those of its backbone."""
        dropout, mixing, before, after = jax.random.split(rng, 4)
        images, mixed = self._augmented((mixing, before, after), batch["image"])
        net = {key: tree for key, tree in variables.items() if key != CONSTANTS}
        kept = [key for key in net if key != "params"] + ["intermediates"] * features
        logits, state = self.model.apply(
            net,
            images,
            train=True,
            rngs={"dropout": dropout},
            mutable=kept,
            capture_intermediates=_is_backbone if features else False,
        )
        state = dict(state)
        inner: Any = state.pop("intermediates") if features else None
        targets = optax.smooth_labels(self.targets(batch["label"], logits), self.label_smoothing)
        targets = targets if mixed is None else mixed.targets(targets)
        maps = inner["backbone"]["__call__"][0] if features else {}
        return Forward(images, logits, targets, state, maps)

    def targets(self, label: Array, logits: Array) -> Array:
        """Labels as the criterion compares logits with them, before they are smoothed and mixed."""
        return jax.nn.one_hot(label, logits.shape[-1], dtype=logits.dtype)

    def metrics(self, losses: Array, logits: Array, batch: Batch) -> Metrics:
        """Metrics of a batch, `losses` `[batch]` one of them."""
        return classification_metrics(losses, logits, batch)

    def _augmented(
        self, keys: tuple[Array, Array, Array], images: Array
    ) -> tuple[Array, Mixed | None]:
        """The net's input in training, and how it was mixed."""
        mixing, before, after = keys
        images = augmented(before, images, self.pixel_augment, jnp.float32)
        images = augmented(after, self.normalize(images), self.augment)
        mixed = None if self.mix is None else self.mix(mixing, images)
        return (images if mixed is None else mixed.images), mixed

    def pictures(self, batch: Batch, rng: Array) -> Array:
        """The input of the net in `loss`, black as 0 and white as 1, if `normalize` is affine."""
        _, mixing, before, after = jax.random.split(rng, 4)
        images, _ = self._augmented((mixing, before, after), batch["image"])
        black = self.normalize(jnp.zeros_like(batch["image"]))
        white = self.normalize(jnp.full_like(batch["image"], 255))
        return jnp.clip((images - black) / (white - black), 0, 1)

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`logits` and `label` of each example."""
        images = self.normalize(batch["image"])
        logits: Any = self.model.apply(variables, images, train=False)
        return {"logits": logits, "label": batch["label"]}

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        logits = self.outputs(variables, batch)["logits"]
        return self.metrics(self.losses(logits, batch["label"]), logits, batch)

    def losses(self, logits: Array, label: Array) -> Array:
        """The loss of each example in evaluation, `[batch]`."""
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)

    def scores(self, variables: Variables, batch: Batch) -> Array:
        return -self.losses(self.outputs(variables, batch)["logits"], batch["label"])

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return {"image": file, "label": 0}

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """The likeliest classes and their probabilities, `[batch, 5]` or all, the likeliest first."""
        logits: Any = self.model.apply(variables, self.normalize(batch["image"]), train=False)
        shares = self.probabilities(logits)
        _, number = jax.lax.top_k(self.ranking(logits), min(LIKELIEST, shares.shape[-1]))
        return {"probability": jnp.take_along_axis(shares, number, -1), "class": number}

    def ranking(self, logits: Array) -> Array:
        """Numbers by which classes are put in order, `[batch, classes]`, the highest first."""
        return self.probabilities(logits)

    def probabilities(self, logits: Array) -> Array:
        """The probability of each class, `[batch, classes]`."""
        return jax.nn.softmax(logits)

    def columns(self, classes: Sequence[str]) -> tuple[Column, ...]:
        return Column("class", tuple(classes)), Column("probability", right=True)

    def present(self, results: Mapping[str, np.ndarray], case: Case, draw: bool) -> Prediction:
        numbers, probabilities = results["class"].tolist(), results["probability"].tolist()
        names = [case.class_name(number) for number in numbers]
        likeliest = list(zip(names, probabilities, strict=True))
        record = [
            {"class": name, "number": number, "probability": probability}
            for number, (name, probability) in zip(numbers, likeliest, strict=True)
        ]
        return Prediction(
            rows=[(name, f"{probability:.4f}") for name, probability in likeliest],
            record={"classes": record},
            drawing=with_bars(case.picture(), likeliest) if draw else None,
        )

    def legend(self, classes: Sequence[str]) -> tuple[tuple[str, str], ...]:
        return (BLUE, "right"), (VERMILION, "wrong")

    def show(self, results: Mapping[str, np.ndarray], case: Case) -> Picture:
        number, label = int(results["class"][0]), int(case.arrays["label"])
        share = f"{results['probability'][0]:.0%}"
        caption = f"true {case.class_name(label)}, predicted {case.class_name(number)} ({share})"
        return Picture(flat(case.picture()), caption, BLUE if number == label else VERMILION)


def _is_backbone(module: nn.Module, method: str) -> bool:
    return module.path == ("backbone",) and method == "__call__"


def flat(pixels: np.ndarray) -> np.ndarray:
    """The first frame of a film and the first channel of what is no colour, `[H, W, 1 or 3]`."""
    while pixels.ndim > 3:
        pixels = pixels[0]
    return pixels if pixels.shape[-1] == 3 else pixels[..., :1]


def augmented(
    rng: Array, images: Array, augment: tuple[Augmentation, ...], dtype: Any = None
) -> Array:
    """`images`, through each of `augment` in turn; as `dtype`, if there is one to go through."""
    images = images if dtype is None or not augment else images.astype(dtype)
    for op, key in zip(
        augment, jax.random.split(rng, len(augment)) if augment else (), strict=True
    ):
        images = op(key, images)
    return images


def classification_metrics(losses: Array, logits: Array, batch: Batch) -> Metrics:
    """Metrics of logits `[batch, classes]` against `batch["label"]`, under `batch["valid"]`."""
    label, valid = batch["label"], batch.get("valid")
    # Strictly better classes, and equal ones before it: what argmax would have chosen.
    of_label = jnp.take_along_axis(logits, label[:, None], -1)
    before = jnp.arange(logits.shape[-1])[None] < label[:, None]
    rank = jnp.sum((logits > of_label) | ((logits == of_label) & before), -1)
    metrics = {"loss": total(losses, valid), "error": total(rank > 0, valid)}
    if logits.shape[-1] > 10:
        metrics["top5_error"] = total(rank > 4, valid)
    metrics["examples"] = (total(jnp.ones_like(losses), valid)[0], jnp.ones(()))
    return metrics
