"""The loss around a trained net, along directions that are comparable between nets.

Li et al. 2018 (arXiv:1712.09913): f(a, b) = L(params + a d1 + b d2), where the random directions d
are filter-normalised (section 4). Everything here takes any pytree of parameters and any function
`measure(params, batch)`; images have nothing to do with it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from jresnet.tasks.base import Array, Batch

Params = Any
Measure = Callable[[Params, Batch], Array]  # to a vector [K] of sums over the batch


def random_direction(rng: Array, params: Params) -> Params:
    """Gaussian, filter-normalised: the direction of section 4."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(rng, len(leaves))
    drawn = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return filter_normalised(jax.tree.unflatten(structure, drawn), params)


def filter_normalised(direction: Params, params: Params) -> Params:
    """`direction` with every filter as long as that of `params`.

    A filter is what makes one output: `[..., i]` of a kernel `[*kernel, in, out]`, and the weights
    of one class of a linear layer. What has no such axis, biases and the scales and shifts of
    BatchNorm, does not move (the authors' `ignore=biasbn`).
    """

    def normalised(d: Array, p: Array) -> Array:
        if jnp.ndim(p) < 2:
            return jnp.zeros_like(p)
        axes = tuple(range(p.ndim - 1))
        length = jnp.sqrt(jnp.sum(jnp.square(d), axes))
        wanted = jnp.sqrt(jnp.sum(jnp.square(p), axes))
        return d * (wanted / (length + 1e-10))

    return jax.tree.map(normalised, direction, params)


def kernels(params: Params) -> tuple[Array, Callable[[Array], Params]]:
    """The kernels as one vector `[dim]`, and what makes of such a vector parameters, the rest of
    which (everything of fewer than two axes) is as in `params`."""
    leaves, structure = jax.tree.flatten(params)
    vector, unravel = ravel_pytree([leaf for leaf in leaves if jnp.ndim(leaf) > 1])

    def whole(vector: Array) -> Params:
        moving = iter(unravel(vector))
        return jax.tree.unflatten(
            structure, [next(moving) if jnp.ndim(leaf) > 1 else leaf for leaf in leaves]
        )

    return vector, whole


def moved(params: Params, directions: Sequence[Params], coordinates: Array) -> Params:
    """`params + sum_i coordinates[i] * directions[i]`."""
    for number, direction in enumerate(directions):
        params = jax.tree.map(
            lambda p, d, at=coordinates[number]: p + (at * d).astype(p.dtype), params, direction
        )
    return params


def grid(*axes: np.ndarray) -> np.ndarray:
    """Points `[product of lengths, axes]`, the last axis running fastest."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], -1)


def point_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Devices (by default all of this process) over which points are spread."""
    return Mesh(np.asarray(devices or jax.local_devices()), ("points",))


def over_points(function: Callable[..., Array], mesh: Mesh) -> Callable[..., Array]:
    """Compiles `function(shared, of_points)`; rows of `of_points` and of its result lie spread
    over the devices, `shared` on each of them."""
    each, whole = PartitionSpec("points"), PartitionSpec()
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=(whole, each), out_specs=each, check_vma=False)
    )


def surface(
    measure: Measure,
    params: Params,
    directions: Sequence[Params],
    points: np.ndarray,
    batches: Sequence[Batch],
    mesh: Mesh,
    at_once: int = 4,
) -> Iterator[np.ndarray]:
    """Sums of `measure` over `batches` at each of `points` `[P, directions]`.

    Yields `[n, K]` for the next `n <= devices * at_once` points until all are done, so that a
    caller can keep what it has. Points are mapped one after the other on each device: mapped over
    weights at once, convolutions would become slow grouped ones.
    """

    def local(shared: Any, points: Array) -> Array:
        params, directions, batch = shared
        return lax.map(lambda at: measure(moved(params, directions, at), batch), points)

    compute = over_points(local, mesh)
    params, directions = jax.device_put((params, list(directions)))
    for part, real in chunks(points, mesh.size * at_once):
        sums = sum(np.asarray(compute((params, directions, b), part), np.float64) for b in batches)
        yield np.asarray(sums)[:real]


def chunks(points: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows of `points`, `size` at a time and how many of them are real: the last part is filled
    up with its last row."""
    for start in range(0, len(points), size):
        rows = np.minimum(np.arange(start, start + size), len(points) - 1)
        yield points[rows].astype(np.float32), min(size, len(points) - start)


def rising_rays(values: np.ndarray) -> float:
    """The share of the eight compass directions from the centre of a square odd grid along which
    the value never falls: 1 for a bowl. Infinite values, far away, count as rising."""
    centre = len(values) // 2
    rays = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                steps = np.arange(centre + 1)
                rays.append(values[centre + dy * steps, centre + dx * steps])
    return float(np.mean([not (np.diff(ray) < 0).any() for ray in rays]))
