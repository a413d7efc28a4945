"""Small tasks of each kind that the trainer is to carry, none of them a classifier."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jresnet.data.augment.geometry import IGNORED, carry, chain
from jresnet.data.augment.places import Crop, Flip
from jresnet.data.info import Example, Info
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_set import ArraySet
from jresnet.models.block import BASIC, Block
from jresnet.tasks.base import CONSTANTS, MEMORY, total
from tests.data.conftest import encode
from tests.data.kinds import PaddedBoxes


def examples(batch) -> tuple[Any, Any]:
    """The count that the log and the loop check."""
    rows = next(iter(batch.values()))
    return total(jnp.ones(len(rows)), batch.get("valid"))[0], jnp.ones(())


def in_memory(splits: dict[str, dict[str, np.ndarray]]) -> ImageData:
    """Batches of named arrays that lie in memory."""
    return ImageData(ArraySet(splits), 16, 16)


# (a) Boxes and a label map ------------------------------------------------------------------------


def scenes(count: int, seed: int, side: int = 12, limit: int = 2) -> dict[str, np.ndarray]:
    """Images with one or two bright rectangles, their boxes, and a map of what is bright."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (count, side, side, 3), np.uint8)
    boxes = np.zeros((count, limit, 4), np.float32)
    classes = np.full((count, limit), -1, np.int32)
    labels = np.zeros((count, side, side), np.int32)
    for i in range(count):
        for row in range(rng.integers(1, limit + 1)):
            x, y = rng.integers(0, side - 4, 2)
            w, h = rng.integers(3, 6, 2)
            boxes[i, row] = x, y, min(side, x + w), min(side, y + h)
            classes[i, row] = 0
            image[i, y : y + h, x : x + w] += 150
            labels[i, y : y + h, x : x + w] = 1
    labels[:, 0, 0] = IGNORED
    return {"image": image, "map": labels, "boxes": boxes, "class": classes}


@dataclasses.dataclass(frozen=True)
class Scenes:
    """A dataset of scenes: files of image and map, and as many boxes as there are."""

    train_size: int = 64
    test_size: int = 19
    seed: int = 0

    def info(self) -> Info:
        sizes = {"train": self.train_size, "test": self.test_size}
        return Info("scenes", 1, ("bright",), (12, 12, 3), sizes, "box")

    def open(self, split: str, encoded: bool = False) -> "SceneSource":
        assert encoded
        seed = self.seed + (split == "test")
        return SceneSource(split, scenes(self.info().sizes[split], seed))


@dataclasses.dataclass(frozen=True, eq=False)
class SceneSource:
    split: str
    arrays: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays["image"])

    def __getitem__(self, index: int) -> Example:
        arrays = {name: values[index] for name, values in self.arrays.items()}
        real = arrays["class"] != -1
        return {
            "image": encode(arrays["image"]),
            "map": encode(arrays["map"].astype(np.uint8)),
            "boxes": arrays["boxes"][real],
            "class": arrays["class"][real],
        }

    def describe(self, index: int) -> str:
        return f"scenes {self.split} {index}.png"


def scene_data(dataset: Scenes = Scenes(), **changes: Any) -> ImageData:
    """Scenes as batches of padded boxes and label maps."""
    padded = PaddedBoxes(12, 12, 2)
    fields = {"batch_size": 16, "eval_batch_size": 16, "threads": 2, **changes}
    return ImageData(dataset, train_transform=padded, eval_transform=padded, **fields)


class MapAndBoxes(nn.Module):
    """Logits of every pixel, and boxes in a fixed number of rows."""

    limit: int = 2

    @nn.compact
    def __call__(self, x, *, train: bool):
        side = x.shape[1]
        x = Block(BASIC, 8, name="block1")(x, train=train)
        x = Block(BASIC, 8, name="block2")(x, train=train)
        pooled = jnp.concatenate([x.mean(1).reshape(len(x), -1), x.mean(2).reshape(len(x), -1)], -1)
        boxes = nn.Dense(4 * self.limit, name="boxes")(pooled) * side
        return nn.Conv(2, (1, 1), name="map")(x), boxes.reshape(len(x), self.limit, 4)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Two losses on one net, augmented jointly; a confusion matrix, and the median error of boxes."""

    model: nn.Module = dataclasses.field(default_factory=MapAndBoxes)
    unit = "scene"

    def init(self, rng, batch):
        return dict(self.model.init(rng, batch["image"] / 255.0, train=True))

    def loss(self, variables, batch, rng):
        count, *size = batch["map"].shape
        batch = {**batch, "image": batch["image"].astype(jnp.float32)}
        batch = carry(batch, chain(rng, (Flip(), Crop(tuple(size))), count, tuple(size)))
        state = [k for k in variables if k != "params"]
        (logits, boxes), new = self.model.apply(
            variables, batch["image"] / 255.0, train=True, mutable=state
        )
        pixels, off, metrics = self._measure(logits, boxes, batch)
        return pixels + off, (dict(new), metrics)

    def _measure(self, logits, boxes, batch):
        counted = (batch["map"] != IGNORED).astype(jnp.float32)
        if "valid" in batch:
            counted = counted * batch["valid"][:, None, None]
        label = jnp.where(batch["map"] == IGNORED, 0, batch["map"])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
        real = (batch["class"] != -1).astype(jnp.float32)[..., None]
        off = jnp.abs(boxes - batch["boxes"]) * real / batch["map"].shape[1]
        confusion = jnp.zeros((2, 2)).at[label, logits.argmax(-1)].add(counted)
        pair = jnp.sum(losses * counted), jnp.sum(counted)
        rows = off.sum((1, 2)) / jnp.maximum(4 * real.sum((1, 2)), 1)
        metrics = {
            "loss": pair,
            "confusion": (confusion, jnp.sum(counted)),
            "off": total(rows, batch.get("valid")),
            "examples": examples(batch),
        }
        return pair[0] / jnp.maximum(pair[1], 1), rows.mean(), metrics

    def evaluate(self, variables, batch):
        logits, boxes = self.model.apply(variables, batch["image"] / 255.0, train=False)
        return self._measure(logits, boxes, batch)[2]

    def outputs(self, variables, batch):
        _, boxes = self.model.apply(variables, batch["image"] / 255.0, train=False)
        return {
            "boxes": boxes,
            "truth": batch["boxes"],
            "class": batch["class"],
            "index": batch["index"],
        }

    def collector(self):
        return MedianOff()

    def summary(self, totals):
        confusion = np.asarray(totals["confusion"][0], np.float64)
        hit = np.diag(confusion)
        union = confusion.sum(0) + confusion.sum(1) - hit
        numbers = {k: float(s) / float(n) for k, (s, n) in totals.items() if k in ("loss", "off")}
        return numbers | {"miou": float(np.mean(hit / np.maximum(union, 1)))}


class MedianOff:
    """The median over boxes of their largest error in pixels: no sum over batches gives it."""

    def __init__(self):
        self.off, self.index = [], []

    def add(self, outputs):
        off = np.abs(outputs["boxes"] - outputs["truth"]).max(-1)
        self.off.append(off[outputs["class"] != -1])
        self.index.append(outputs["index"])

    def result(self):
        index = np.concatenate(self.index)
        assert (index == np.arange(len(index))).all()  # every example once, in order
        return {"median_off": float(np.median(np.concatenate(self.off)))}


# (b) Two players by one scalar --------------------------------------------------------------------


class Critic(nn.Module):
    """How real an image looks."""

    @nn.compact
    def __call__(self, x):
        x = nn.leaky_relu(nn.Conv(8, (3, 3), strides=2, name="conv1")(x))
        x = nn.leaky_relu(nn.Conv(16, (3, 3), strides=2, name="conv2")(x))
        return nn.Dense(1, name="head")(x.reshape(len(x), -1))[:, 0]


class Painter(nn.Module):
    """An image from noise."""

    @nn.compact
    def __call__(self, z):
        x = nn.relu(nn.Dense(64, name="dense1")(z))
        return nn.sigmoid(nn.Dense(64, name="dense2")(x)).reshape(-1, 8, 8, 1)


@dataclasses.dataclass(frozen=True)
class TwoPlayers:
    """L_G(g, stop_gradient(d)) + L_D(stop_gradient(g), d), Goodfellow et al. 2014, arXiv:1406.2661."""

    painter: nn.Module = dataclasses.field(default_factory=Painter)
    critic: nn.Module = dataclasses.field(default_factory=Critic)
    noise: int = 8

    def init(self, rng, batch):
        one, two = jax.random.split(rng)
        z = jnp.zeros((len(batch["image"]), self.noise))
        g = self.painter.init(one, z)["params"]
        return {"params": {"g": g, "d": self.critic.init(two, batch["image"] / 255.0)["params"]}}

    def players(self, params, images, z, frozen=jax.lax.stop_gradient):
        """The losses of the painter and of the critic, `[batch]` each."""
        g, d = params["g"], params["d"]

        def judged(d, images) -> Any:
            return self.critic.apply({"params": d}, images)

        fake = self.painter.apply({"params": g}, z)
        painter = jax.nn.softplus(-judged(frozen(d), fake))
        critic = jax.nn.softplus(-judged(d, images)) + jax.nn.softplus(judged(d, frozen(fake)))
        return painter, critic

    def loss(self, variables, batch, rng):
        z = jax.random.normal(rng, (len(batch["image"]), self.noise))
        painter, critic = self.players(variables["params"], batch["image"] / 255.0, z)
        metrics = {
            "loss": total(painter + critic),
            "painter": total(painter),
            "critic": total(critic),
            "examples": examples(batch),
        }
        return (painter + critic).mean(), ({}, metrics)

    def evaluate(self, variables, batch):
        z = jax.random.normal(jax.random.key(0), (len(batch["image"]), self.noise))
        painter, critic = self.players(variables["params"], batch["image"] / 255.0, z)
        valid = batch["valid"]
        return {
            "loss": total(painter + critic, valid),
            "critic": total(critic, valid),
            "examples": examples(batch),
        }


# (c) An agent whose memory is its world -----------------------------------------------------------

SIDE, WORLDS, TURNS = 5, 32, 8


def fresh(rng):
    """A ball at the top and a paddle in the middle: [row, column, paddle] int32."""
    return jnp.stack(
        [
            jnp.zeros((), jnp.int32),
            jax.random.randint(rng, (), 0, SIDE),
            SIDE // 2 + 0 * jnp.zeros((), jnp.int32),
        ]
    )


def seen(worlds):
    """Images `[worlds, SIDE, SIDE, 2]` of ball and paddle."""
    row, column, paddle = jnp.moveaxis(worlds, -1, 0)
    row, column, paddle = (place[:, None, None] for place in (row, column, paddle))
    down, across = jnp.arange(SIDE)[None, :, None], jnp.arange(SIDE)[None, None]
    ball = (row == down) & (column == across)
    hand = (down == SIDE - 1) & (paddle == across)
    return jnp.stack([ball, hand], -1).astype(jnp.float32)


def turn(worlds, actions):
    """The ball falls, paddles move by -1, 0, 1: (worlds, rewards, whether the ball is down)."""
    row, column, paddle = jnp.moveaxis(worlds, -1, 0)
    paddle = jnp.clip(paddle + actions - 1, 0, SIDE - 1)
    row = row + 1
    down = row == SIDE - 1
    reward = jnp.where(down, jnp.where(column == paddle, 1.0, -1.0), 0.0)
    return jnp.stack([row, column, paddle], -1), reward, down


class Actor(nn.Module):
    """Logits of three moves and the value of what is seen."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(32, name="dense1")(x.reshape(len(x), -1)))
        x = x + nn.relu(nn.Dense(32, name="dense2")(x))
        return nn.Dense(3, name="policy")(x), nn.Dense(1, name="value")(x)[:, 0]


@dataclasses.dataclass(frozen=True)
class Catch:
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783) on a game that memory holds.

    Every step acts for TURNS turns in WORLDS worlds, with the parameters as they are, and learns
    from that. Evaluation plays one episode for each seed in the data, greedily.
    """

    model: nn.Module = dataclasses.field(default_factory=Actor)
    unit = "frame"

    def init(self, rng, batch):
        worlds = jax.vmap(fresh)(jax.random.split(jax.random.key(0), WORLDS))
        variables = dict(self.model.init(rng, seen(worlds)))
        return {**variables, MEMORY: {"worlds": worlds, "frames": jnp.zeros((), jnp.int32)}}

    def loss(self, variables, batch, rng):
        params, memory = variables["params"], variables[MEMORY]

        def act(worlds, key):
            choose, start = jax.random.split(key)
            logits, _ = self.model.apply({"params": jax.lax.stop_gradient(params)}, seen(worlds))
            actions = jax.random.categorical(choose, logits)
            after, rewards, down = turn(worlds, actions)
            anew = jax.vmap(fresh)(jax.random.split(start, WORLDS))
            after = jnp.where(down[:, None], anew, after)
            return after, (seen(worlds), actions, rewards, down)

        worlds, (images, actions, rewards, down) = jax.lax.scan(
            act, memory["worlds"], jax.random.split(rng, TURNS)
        )
        flat = images.reshape(-1, *images.shape[2:])
        logits, values = self.model.apply({"params": params}, flat)
        logits, values = logits.reshape(TURNS, WORLDS, 3), values.reshape(TURNS, WORLDS)
        _, last = self.model.apply({"params": jax.lax.stop_gradient(params)}, seen(worlds))

        def backwards(following, turn):
            reward, done = turn
            target = reward + 0.9 * jnp.where(done, 0.0, following)
            return target, target

        _, targets = jax.lax.scan(backwards, last, (rewards, down), reverse=True)
        advantages = jax.lax.stop_gradient(targets - values)
        chosen = -optax.softmax_cross_entropy_with_integer_labels(logits, actions)
        entropy = -jnp.sum(jax.nn.softmax(logits) * jax.nn.log_softmax(logits), -1)
        losses = -chosen * advantages + 0.5 * jnp.square(values - targets) - 0.01 * entropy
        frames = jnp.asarray(WORLDS * TURNS)
        memory = {"worlds": worlds, "frames": memory["frames"] + frames}
        metrics = {
            "loss": (losses.sum(), jnp.asarray(losses.size, jnp.float32)),
            "return": (rewards.sum(), down.sum().astype(jnp.float32) + 1e-9),
            "examples": (frames.astype(jnp.float32), jnp.ones(())),
        }
        return losses.mean(), ({MEMORY: memory}, metrics)

    def evaluate(self, variables, batch):
        worlds = jax.vmap(lambda seed: fresh(jax.random.key(seed)))(batch["seed"])

        def act(worlds, _):
            logits, _ = self.model.apply({"params": variables["params"]}, seen(worlds))
            after, rewards, _ = turn(worlds, logits.argmax(-1))
            return after, rewards

        _, rewards = jax.lax.scan(act, worlds, length=SIDE - 1)
        returns = rewards.sum(0)
        return {
            "loss": total(-returns, batch["valid"]),
            "return": total(returns, batch["valid"]),
            "examples": examples(batch),
        }


# (d) More classes than one device should hold ------------------------------------------------------

CLASSES, FEATURES = 10_000, 16


def identities(count: int, seed: int) -> dict[str, np.ndarray]:
    """Noisy views of `CLASSES` random directions, `[count, FEATURES]`, and whose they are."""
    centers = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, count)
    views = centers[label] + 0.1 * rng.normal(size=(count, FEATURES))
    return {"x": views.astype(np.float32), "label": label.astype(np.int32)}


class ClassMatrix(nn.Module):
    """Cosines of embeddings `[batch, FEATURES]` with a direction for each class."""

    @nn.compact
    def __call__(self, x):
        shape = (FEATURES, CLASSES)
        kernel = self.param("kernel", nn.initializers.normal(), shape)
        kernel = kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True)
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True) @ kernel


class Recognizer(nn.Module):
    """An embedding by two dense layers, and cosines."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(32, name="dense1")(x))
        return ClassMatrix(name="head")(nn.Dense(FEATURES, name="dense2")(x))


@dataclasses.dataclass(frozen=True)
class Identify:
    """Softmax over cosines with an additive angular margin (Deng et al. 2019, arXiv:1801.07698)."""

    model: nn.Module = dataclasses.field(default_factory=Recognizer)
    scale: float = 16.0
    margin: float = 0.2
    unit = "face"

    def init(self, rng, batch):
        return dict(self.model.init(rng, batch["x"]))

    def loss(self, variables, batch, rng):
        cosines: Any = self.model.apply({"params": variables["params"]}, batch["x"])
        losses = self.losses(cosines, batch["label"], self.margin)
        return losses.mean(), ({}, self._metrics(cosines, losses, batch))

    def losses(self, cosines, label, margin):
        """Cross-entropy `[batch]`. With one-hot targets the class axis may lie on any devices."""
        target = jax.nn.one_hot(label, CLASSES)
        angles = jnp.arccos(jnp.clip(cosines, -1 + 1e-6, 1 - 1e-6))
        logits = self.scale * jnp.where(target > 0, jnp.cos(angles + margin), cosines)
        return optax.softmax_cross_entropy(logits, target)

    def evaluate(self, variables, batch):
        cosines: Any = self.model.apply({"params": variables["params"]}, batch["x"])
        return self._metrics(cosines, self.losses(cosines, batch["label"], 0.0), batch)

    def _metrics(self, cosines, losses, batch):
        hit = (cosines.argmax(-1) == batch["label"]).astype(jnp.float32)
        valid = batch.get("valid")
        return {
            "loss": total(losses, valid),
            "hit": total(hit, valid),
            "examples": examples(batch),
        }


# (e) A task with a teacher ------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Imitate:
    """A linear map that learns another one, which the experiment gives as a constant."""

    def init(self, rng, batch):
        return {"params": {"kernel": jnp.zeros((batch["x"].shape[-1], 3))}}

    def _losses(self, variables, batch):
        teacher = variables[CONSTANTS]["kernel"]
        return jnp.square(batch["x"] @ (variables["params"]["kernel"] - teacher)).mean(-1)

    def loss(self, variables, batch, rng):
        losses = self._losses(variables, batch)
        return losses.mean(), ({}, {"loss": total(losses), "examples": examples(batch)})

    def evaluate(self, variables, batch):
        losses = self._losses(variables, batch)
        return {"loss": total(losses, batch["valid"]), "examples": examples(batch)}
