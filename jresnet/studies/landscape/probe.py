"""A net with the programs that measure the loss and its curvature around it."""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from jresnet.analysis.hessian import (
    extremes,
    hessian_product,
    lanczos,
    random_starts,
    sharpness,
    spectral_density,
)
from jresnet.analysis.landscape import Params, chunks, grid, kernels, surface
from jresnet.analysis.trajectory import gradient_lipschitz, trajectory_plane
from jresnet.models.heads import Classifier
from jresnet.studies.resumed import resumed
from jresnet.studies.subjects import Subject
from jresnet.tasks.base import Array, Batch, Variables
from jresnet.tasks.classify import classification_metrics

Steps = list[tuple[int, Params]]  # (step, parameters), oldest first


class Surface(NamedTuple):
    """Loss (nats) and error (fraction) `[x, y]` over the two axes."""

    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    error: np.ndarray


class Trajectory(NamedTuple):
    """The path of training in the plane of two principal components, and its gradients."""

    steps: np.ndarray
    path: np.ndarray  # [steps, 2]
    explained: np.ndarray  # [2]
    surface: Surface
    lipschitz: np.ndarray  # [steps - 1]


def measure(model: Classifier, variables: Variables, params: Params, batch: Batch) -> Array:
    """Loss and errors `[2]` over a batch, with the statistics of `variables`."""
    logits: Any = model.apply({**variables, "params": params}, batch["image"], train=False)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])
    sums = classification_metrics(losses, logits, batch)
    return jnp.stack([sums["loss"][0], sums["error"][0]])


class Probe:
    """One net, its examples, and the programs compiled for it."""

    def __init__(
        self,
        subject: Subject,
        batches: Sequence[Batch],
        few: Sequence[Batch],
        seed: int,
        folder: Path,
        mesh: Mesh,
    ):
        self.subject, self.batches, self.few = subject, batches, few
        self.seed, self.folder, self.mesh = seed, folder, mesh
        self.params = subject.variables["params"]
        measure_net = functools.partial(measure, subject.classifier, subject.variables)
        self.values = surface(measure_net, mesh)
        self.product = hessian_product(lambda p, b: measure_net(p, b)[0], mesh)

    def kept(
        self, name: str, points: np.ndarray, compute: Callable[..., Iterator[np.ndarray]], on: Any
    ) -> np.ndarray:
        label = f"{self.subject.label}-{name}"
        depends = (self.subject.variables, on)
        return resumed(self.folder / f"{label}.npz", points, compute, depends, label)

    def surface(
        self, name: str, directions: Sequence[Params], x: np.ndarray, y: np.ndarray
    ) -> Surface:
        def compute(points: np.ndarray) -> Iterator[np.ndarray]:
            return self.values(self.params, directions, points, self.batches)

        sums = self.kept(name, grid(x, y), compute, directions)
        count = sum(float(batch["valid"].sum()) for batch in self.batches)
        means = (sums / count).reshape(len(x), len(y), 2)
        return Surface(x, y, means[..., 0], means[..., 1])

    def curvature(self, directions: Sequence[Params], points: np.ndarray) -> Any:
        """The Hessian of the mean loss at each point."""
        scale = 1 / sum(float(batch["valid"].sum()) for batch in self.few)
        return self.product(self.params, directions, points, self.few, scale)

    def starts(self, count: int) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        return random_starts(rng, count, kernels(self.params)[0].size)

    def hessian_extremes(
        self, directions: Sequence[Params], axis: np.ndarray, steps: int
    ) -> np.ndarray:
        def compute(points: np.ndarray) -> Iterator[np.ndarray]:
            starts = np.repeat(self.starts(1), self.mesh.size, 0)
            for part, real in chunks(points, self.mesh.size):
                product = self.curvature(directions, part)
                yield extremes(lanczos(product, starts, steps))[:real]

        ends = self.kept("hessian", grid(axis, axis), compute, directions)
        return ends.reshape(len(axis), len(axis), 2)

    def spectrum(self, probes: int, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ritz values of the first probe, and the density over the range of all Ritz values."""
        count = -(-probes // self.mesh.size)
        zeros = [jax.tree.map(jnp.zeros_like, self.params)] * 2
        product = self.curvature(zeros, np.zeros((self.mesh.size, 2)))
        rows = self.starts(count * self.mesh.size).reshape(count, self.mesh.size, -1)
        runs = [lanczos(product, part, steps) for part in rows]
        values = np.concatenate([f.quadrature(r)[0] for f in runs for r in range(len(f.sizes))])
        low, high = float(values.min()), float(values.max())
        at = np.linspace(low - 0.05 * (high - low), high + 0.05 * (high - low), 501)
        density = np.mean([spectral_density(part, at) for part in runs], 0)
        return runs[0].quadrature(0)[0], at, density

    @functools.cached_property
    def slope(self) -> Callable[[Params], tuple[float, np.ndarray]]:
        """The mean loss of the first batch and its gradient, with the batch's statistics."""
        batch, rest = self.few[0], dict(self.subject.variables)
        del rest["params"]

        @jax.jit
        def compute(params: Params, rest: Any, batch: Batch) -> tuple[Array, Array]:
            def loss(params: Params) -> Array:
                logits, _ = self.subject.model.apply(
                    {**rest, "params": params}, batch["image"], train=True, mutable=list(rest)
                )
                labels = batch["label"]
                return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

            value, gradient = jax.value_and_grad(loss)(params)
            return value, ravel_pytree(gradient)[0]

        def host(params: Params) -> tuple[float, np.ndarray]:
            value, gradient = compute(params, rest, batch)
            return float(value), np.asarray(gradient)

        return host

    def sharpness(self) -> float:
        flat, whole = ravel_pytree(self.params)

        def at(point: np.ndarray) -> tuple[float, np.ndarray]:
            return self.slope(whole(jnp.asarray(point, flat.dtype)))

        return sharpness(at, np.asarray(flat), seed=self.seed)

    def trajectory(self, path: Steps, points: int) -> Trajectory:
        """The path, and the loss on a part of its plane that is a fifth larger on every side."""
        plane = trajectory_plane([params for _, params in path])

        def axis(values: np.ndarray) -> np.ndarray:
            room = 0.2 * (values.max() - values.min())
            return np.linspace(values.min() - room, values.max() + room, points)

        x, y = axis(plane.path[:, 0]), axis(plane.path[:, 1])
        return Trajectory(
            np.array([step for step, _ in path]),
            plane.path,
            plane.explained,
            self.surface("trajectory", plane.directions, x, y),
            gradient_lipschitz(lambda p: self.slope(p)[1], [params for _, params in path]),
        )
