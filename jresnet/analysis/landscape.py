"""The loss around a trained net, along directions that are comparable between nets.

Li et al. 2018 (arXiv:1712.09913): f(a, b) = L(params + a d1 + b d2), where the random directions d
are filter-normalised (section 4). Everything here takes any pytree of parameters and any function
`measure(params, batch)`, for any kind of examples.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, PartitionSpec

from jresnet.padding import full_batches
from jresnet.tasks.base import Array, Batch

Params = Any
Measure = Callable[[Params, Batch], Array]  # to a vector [K] of sums over the batch


def random_direction(rng: np.random.Generator, params: Params) -> Params:
    """A Gaussian direction, filter-normalised as in section 4 of the paper; drawn on the host."""
    drawn = jax.tree.map(lambda p: rng.standard_normal(np.shape(p), np.float32), params)
    return filter_normalised(drawn, params)


def filter_normalised(direction: Params, params: Params) -> Params:
    """`direction` with every filter scaled to the norm of the filter in `params`, as numpy arrays.

    A filter is the weights of one output: `[..., i]` of a kernel `[*kernel, in, out]`, or the
    weights of one class of a linear layer. Parameters without such an axis, biases and the scales
    and shifts of BatchNorm, get 0 (the authors' `ignore=biasbn`).
    """

    def normalised(d: Any, p: Any) -> np.ndarray:
        d, p = np.asarray(d), np.asarray(p)
        if p.ndim < 2:
            return np.zeros_like(p)
        axes = tuple(range(p.ndim - 1))
        length = np.sqrt(np.square(d).sum(axes))
        wanted = np.sqrt(np.square(p).sum(axes))
        return (d * (wanted / (length + 1e-10))).astype(p.dtype)

    return jax.tree.map(normalised, direction, params)


def kernels(params: Params) -> tuple[Array, Callable[[Array], Params]]:
    """The kernels as one vector `[dim]`, and a function from such a vector to all parameters.

    Parameters with fewer than two axes are not in the vector; the function takes them from
    `params`.
    """
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
    """A mesh of devices, by default all of this process, that points are distributed over."""
    return Mesh(np.asarray(devices or jax.local_devices()), ("points",))


def over_points(function: Callable[..., Array], mesh: Mesh) -> Callable[..., Array]:
    """Compile `function(shared, of_points)`.

    Rows of `of_points` and of the result are distributed over the devices; each has all of
    `shared`.
    """
    each, whole = PartitionSpec("points"), PartitionSpec()
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=(whole, each), out_specs=each, check_vma=False)
    )


def surface(measure: Measure, mesh: Mesh, at_once: int = 4) -> Callable[..., Iterator[np.ndarray]]:
    """Compile sums of `measure` over batches at many points.

    A device computes its points one after the other: under `vmap` over weights, convolutions would
    become slow grouped ones.

    Returns:
        A function of `(params, directions, points [P, directions], batches)`. It yields `[n, K]` for
        the next `n <= devices * at_once` points until all are done, so that a caller can store
        each part.
    """

    def local(shared: Any, points: Array) -> Array:
        params, directions, batch = shared
        return lax.map(lambda at: measure(moved(params, directions, at), batch), points)

    compute = over_points(local, mesh)

    def values(
        params: Params, directions: Sequence[Params], points: np.ndarray, batches: Sequence[Batch]
    ) -> Iterator[np.ndarray]:
        params, directions = jax.device_put((params, list(directions)))
        for part, real in chunks(points, mesh.size * at_once):
            sums = [np.asarray(compute((params, directions, b), part), float) for b in batches]
            yield np.sum(sums, 0)[:real]

    return values


def chunks(points: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, int]]:
    """Rows of `points`, `size` at a time and how many of them are real: the last part is filled
    up with its last row."""
    rows, real = (x.reshape(-1, size) for x in full_batches(len(points), size))
    for chosen, whether in zip(rows, real, strict=True):
        yield points[chosen].astype(np.float32), int(whether.sum())


def rising_rays(values: np.ndarray, slack: float = 0.01) -> float:
    """The share of rays along which the value never falls: 1 for a bowl.

    The rays go in the eight compass directions from the centre of a square grid of odd size. Falls
    up to `slack` of the finite range along the ray are ignored, since the lowest point need not be
    exactly at the centre. Infinite values count as high.
    """
    centre, rising = len(values) // 2, []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                steps = np.arange(centre + 1)
                ray = values[centre + dy * steps, centre + dx * steps]
                ray = np.nan_to_num(ray, nan=np.finfo(float).max)
                finite = ray[ray < np.finfo(float).max]
                allowed = slack * (finite.max() - finite.min()) if len(finite) else 0.0
                rising.append((np.maximum.accumulate(ray) - ray).max() <= allowed)
    return float(np.mean(rising))
