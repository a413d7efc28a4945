"""Face recognition: embeddings whose directions are near for one person and far for others."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import PartitionSpec

from jresnet.data.augment.geometry import Place, carry, chain
from jresnet.tasks.base import Array, Batch, Finding, Metrics, Variables, total
from jresnet.tasks.classify import Augmentation, augmented
from jresnet.tasks.face_collector import FaceCollector
from jresnet.tasks.face_guard import finding, signs_of
from jresnet.tasks.margins import Margin, arcface, cosines, margin_losses, unit
from jresnet.tasks.verification import FARS, Pairs

CLASSES = "classes"  # the class matrix lies beside the net's parameters under this name
# The class matrix and its moments over the devices of `--model-parallel`; the net lies on each.
SHARDING = ((r"^params/classes/kernel$", PartitionSpec("model", None)),)


@dataclasses.dataclass(frozen=True)
class Recognise:
    """`batch["image"]` uint8 `[batch, H, W, channels]`, `batch["label"]` int32 `[batch]`: people.

    `model` gives vectors `[batch, features]`. In training their cosines with the rows of a class
    matrix, float32 `[rows, features]`, go into the softmax of `margin`. The matrix is a parameter,
    `params/classes/kernel`, which `SHARDING` spreads over the mesh's `model` axis. Nothing here knows
    of devices: the compiler sums the softmax over them. Its rows are the classes and, after them, as
    many more as make them a multiple of `groups`. Those take no part in losses and get no gradient.

    `sampled` below 1 is Partial FC (An et al. 2022, arXiv:2203.15565): each step takes that share of
    the classes, those of the batch always among them, the others drawn by the step's key. Classes lie
    in `groups` of consecutive rows; each group takes as many rows as any other, as the paper's ranks
    do, so that rows move between no two devices if the devices divide the groups. The result depends
    on the seed, the step and `groups`, and not on the number of devices.

    In training each of `pixel_augment` is called on floats in [0, 255], then `normalize`, then
    pictures are moved by `places` (`jresnet.data.augment.geometry`), go through each of `augment`
    and, with `flips`, half of them are mirrored. With `flip_test` embeddings in evaluation are the sum of those of the picture and of
    its mirror image.

    Metrics: in training `loss`, `error`, the share whose person is not the nearest, without margin,
    among the classes taken, and `batch_spread`, the spread of the batch's directions
    (`verification.spread`), by the statistics of the batch. In evaluation `norm`, the mean length of
    embeddings, and the scores of `FaceCollector`: of `pairs`, of the pairs of further sets by their
    names, and ranks with `gallery` pictures a person.
    """

    model: nn.Module
    normalize: Callable[[Array], Array]
    classes: int
    features: int = 512
    margin: Margin = dataclasses.field(default_factory=arcface)
    sampled: float = 1.0
    groups: int = 1
    flips: bool = True
    flip_test: bool = True
    places: tuple[Place, ...] = ()
    pixel_augment: tuple[Augmentation, ...] = ()
    augment: tuple[Augmentation, ...] = ()
    pairs: Pairs | None = dataclasses.field(default=None, compare=False)
    further: Mapping[str, Pairs] = dataclasses.field(default_factory=dict, compare=False)
    fars: tuple[float, ...] = FARS
    gallery: int = 0
    unit = "face"

    def __post_init__(self) -> None:
        if not 0 < self.sampled <= 1:
            raise ValueError(f"sampled={self.sampled}: expected more than 0 and at most 1")
        if not 1 <= self.groups <= self.classes:
            raise ValueError(
                f"groups={self.groups}: expected at least 1 and at most {self.classes}, the classes"
            )

    @property
    def in_group(self) -> int:
        """Rows of the class matrix in each group."""
        return -(-self.classes // self.groups)

    @property
    def rows(self) -> int:
        """Rows of the class matrix."""
        return self.in_group * self.groups

    def init(self, rng: Array, batch: Batch) -> dict[str, Any]:
        net, matrix = jax.random.split(rng)
        images = self.normalize(batch["image"])
        variables = dict(self.model.init({"params": net, "dropout": net}, images, train=True))
        kernel = 0.01 * jax.random.normal(matrix, (self.rows, self.features))
        return {**variables, "params": {**variables["params"], CLASSES: {"kernel": kernel}}}

    def of_model(self, variables: Variables) -> dict[str, Any]:
        """The variables that are the net's."""
        params = {k: v for k, v in variables["params"].items() if k != CLASSES}
        return {**variables, "params": params}

    def loss(
        self, variables: Variables, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[dict[str, Any], Metrics]]:
        dropout, flip, draw = jax.random.split(rng, 3)
        kept = self.of_model(variables)
        state = [name for name in kept if name != "params"]
        embeddings, new = self.model.apply(
            kept,
            self._trained_on(batch, flip),
            train=True,
            rngs={"dropout": dropout},
            mutable=state,
        )
        kernel = variables["params"][CLASSES]["kernel"]
        near, target, known = self.compared(kernel, embeddings, batch["label"], draw)
        losses = margin_losses(self.margin, near, target, known)
        true = jnp.sum(near * target, -1)
        others = target == 0 if known is None else (target == 0) & known[None]
        wrong = jnp.any(jnp.where(others, near, -jnp.inf) >= true[:, None], -1)
        valid = batch.get("valid")
        metrics = {"loss": total(losses, valid), "error": total(wrong, valid)}
        mean = jnp.mean(unit(jax.lax.stop_gradient(embeddings)), 0)
        metrics["batch_spread"] = (1 - jnp.linalg.norm(mean), jnp.ones(()))
        examples, _ = total(jnp.ones(len(losses)), valid)
        return losses.mean(), (dict(new), {**metrics, "examples": (examples, jnp.ones(()))})

    def compared(
        self, kernel: Array, embeddings: Array, label: Array, draw: Array
    ) -> tuple[Array, Array, Array | None]:
        """Cosines with the rows taken, one-hot targets, and which rows are classes.

        The first two are `[batch, taken]`, the last is bool `[taken]`, or None where all are.
        """
        padded = self.rows > self.classes
        if self.sampled == 1:
            known = jnp.arange(self.rows) < self.classes if padded else None
            return cosines(embeddings, kernel), jax.nn.one_hot(label, self.rows), known
        rows = self.drawn(label, draw)
        grouped = kernel.reshape(self.groups, self.in_group, -1)
        taken = jnp.take_along_axis(grouped, rows[..., None], axis=1)
        numbers = (rows + self.in_group * jnp.arange(self.groups)[:, None]).reshape(-1)
        target = (label[:, None] == numbers[None]).astype(jnp.float32)
        near = cosines(embeddings, taken.reshape(-1, kernel.shape[-1]))
        return near, target, numbers < self.classes if padded else None

    def taken(self, batch: int) -> int:
        """Classes a group that a step of `batch` faces takes: room for all of them in one group."""
        return min(self.in_group, max(round(self.sampled * self.in_group), batch))

    def drawn(self, label: Array, draw: Array) -> Array:
        """Rows of each group that are taken, in ascending order, int32 `[groups, taken]`."""
        chance = jax.random.uniform(draw, (self.rows,))
        chance = chance.at[self.classes :].set(-1.0)  # below all that is drawn: last
        chance = chance.at[label].set(2.0)  # above all that is drawn: always in
        _, rows = jax.lax.top_k(chance.reshape(self.groups, self.in_group), self.taken(len(label)))
        return jnp.sort(rows, axis=1)

    def _trained_on(self, batch: Batch, rng: Array) -> Array:
        colour, place, after = jax.random.split(jax.random.fold_in(rng, 1), 3)
        images = augmented(colour, batch["image"], self.pixel_augment, jnp.float32)
        images = self.normalize(images)
        if self.places:
            count, *size, _ = images.shape
            warp = chain(place, self.places, count, tuple(size))
            images = carry({"image": images}, warp)["image"]
        images = augmented(after, images, self.augment)
        if not self.flips:
            return images
        turn = jax.random.bernoulli(rng, shape=(len(images), 1, 1, 1))
        return jnp.where(turn, images[:, :, ::-1], images)

    def embedded(self, variables: Variables, images: Array) -> Array:
        """Vectors of uint8 pictures in evaluation mode, `[batch, features]`; not of length 1."""
        kept, inputs = self.of_model(variables), self.normalize(images)

        def net(inputs: Array) -> Array:
            return self.model.apply(kept, inputs, train=False)  # type: ignore[return-value]

        return net(inputs) + net(inputs[:, :, ::-1]) if self.flip_test else net(inputs)

    def outputs(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`embedding`, `index` in the split and `label` of each example."""
        embedding = self.embedded(variables, batch["image"])
        index = batch.get("index", jnp.arange(len(embedding)))
        return {"embedding": embedding, "index": index, "label": batch["label"]}

    def collector(self) -> FaceCollector:
        return FaceCollector(self.pairs, self.fars, self.further, self.gallery)

    def finding(
        self, records: Sequence[Mapping[str, float]], test: Mapping[str, float]
    ) -> Finding | None:
        """Whether the training is stuck, and why (`face_guard`)."""
        signs = signs_of(records, test)
        return None if signs is None else finding(signs)

    def evaluate(self, variables: Variables, batch: Batch) -> Metrics:
        embedding = self.embedded(variables, batch["image"])
        length, valid = jnp.linalg.norm(embedding, axis=-1), batch.get("valid")
        examples, _ = total(jnp.ones(len(length)), valid)
        return {"norm": total(length, valid), "examples": (examples, jnp.ones(()))}

    def unlabelled(self, file: bytes) -> dict[str, Any]:
        return {"image": file, "label": 0}

    def predict(self, variables: Variables, batch: Batch) -> dict[str, Array]:
        """`direction`, embeddings of length 1."""
        return {"direction": unit(self.embedded(variables, batch["image"]))}


def similarity(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> float:
    """The cosine of two files' results of `predict`."""
    return float(np.dot(one["direction"], other["direction"]))
