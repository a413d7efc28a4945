"""Curvature of the loss by Hessian-vector products: extreme eigenvalues, spectrum, sharpness.

Lanczos iteration on the Hessian with respect to the kernels (biases and BatchNorm stay fixed, as in
the code of Li et al. 2018, arXiv:1712.09913, section 6). Spectral density by stochastic Lanczos
quadrature: Ghorbani et al. 2019 (arXiv:1901.10159, section 2). Several points, or several probes of
one point, are computed in parallel, one on each device.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jresnet.analysis.landscape import Params, kernels, moved, over_points
from jresnet.tasks.base import Array, Batch

Loss = Callable[[Params, Batch], Array]  # to a scalar, the sum over the batch
Product = Callable[[np.ndarray], np.ndarray]  # [n, dim] to [n, dim], row by row


def hessian_product(loss: Loss, mesh: Mesh) -> Callable[..., Product]:
    """Compile the Hessian-vector product (forward over reverse) of `loss`, summed over batches.

    Returns:
        A function of `(params, directions, points [n, directions], batches, scale)` that gives a
        `Product`: row i times `scale` times the Hessian at the i-th point. `n` is a multiple of the
        number of devices. Several points on a device are unrolled, since gradients of convolutions
        are slow in a loop on CPUs.
    """

    def local(shared: Any, of_points: tuple[Array, Array]) -> Array:
        params, directions, batch = shared

        def one(at: Array, v: Array) -> Array:
            vector, whole = kernels(moved(params, directions, at))
            slope = jax.grad(lambda vector: loss(whole(vector), batch))
            return jax.jvp(slope, (vector,), (v,))[1]

        return jnp.stack([one(at, v) for at, v in zip(*of_points, strict=True)])

    compute = over_points(local, mesh)

    def bound(
        params: Params,
        directions: Sequence[Params],
        points: np.ndarray,
        batches: Sequence[Batch],
        scale: float,
    ) -> Product:
        params, directions = jax.device_put((params, list(directions)))
        points = np.asarray(points, np.float32)

        def product(vectors: np.ndarray) -> np.ndarray:
            total = 0.0
            for batch in batches:
                total = total + compute((params, directions, batch), (points, vectors))
            return scale * np.asarray(total)

        return product

    return bound


class Tridiagonal(NamedTuple):
    """The matrices of Lanczos iterations, one for each row of vectors.

    - diagonal: `[n, steps]`.
    - beside: the entries next to the diagonal `[n, steps - 1]`.
    - sizes: steps after which the Krylov space was exhausted, or all of them `[n]`.
    """

    diagonal: np.ndarray
    beside: np.ndarray
    sizes: np.ndarray

    def quadrature(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values, ascending, and their weights in the quadrature.

        The weights are the squared first components of the Ritz vectors. Values are NaN where the
        product was not finite.
        """
        size = int(self.sizes[row])
        beside = self.beside[row, : size - 1]
        matrix = np.diag(self.diagonal[row, :size]) + np.diag(beside, 1) + np.diag(beside, -1)
        if not np.isfinite(matrix).all():
            return np.full(size, np.nan), np.full(size, 1 / size)
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors[0] ** 2


def lanczos(product: Product, start: np.ndarray, steps: int) -> Tridiagonal:
    """`steps` Lanczos steps from each row of `start` `[n, dim]`, with full reorthogonalisation.

    It holds `n * steps * dim` numbers, in addition to the memory of the product.
    """
    count, dim = start.shape
    steps = min(steps, dim)
    diagonal, beside = np.zeros((count, steps)), np.zeros((count, steps - 1))
    sizes = np.full(count, steps)
    basis = np.zeros((count, steps, dim), np.float32)
    vectors = start / np.linalg.norm(start, axis=1, keepdims=True)
    for step in range(steps):
        basis[:, step] = vectors
        residual = product(vectors.astype(np.float32)).astype(np.float32)
        diagonal[:, step] = np.einsum("nd,nd->n", residual, basis[:, step])
        if step == steps - 1:
            break
        known = basis[:, : step + 1]
        for _ in range(2):  # a single pass leaves float32 rounding errors
            shares = np.einsum("nsd,nd->ns", known, residual)
            residual = residual - np.einsum("nsd,ns->nd", known, shares)
        length = np.linalg.norm(residual, axis=1)
        scale = np.abs(diagonal[:, : step + 1]).max(1) + np.abs(beside[:, : step + 1]).max(
            1, initial=0
        )
        ended = length <= 1e-6 * scale
        sizes = np.where(ended, np.minimum(sizes, step + 1), sizes)
        beside[:, step] = np.where(ended, 0.0, length)
        vectors = residual / np.where(ended, np.inf, length)[:, None]
        if (sizes <= step + 1).all():
            break
    return Tridiagonal(diagonal, beside, sizes)


def random_starts(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Rows of random signs; as probes they have less variance than Gaussian ones."""
    return rng.choice(np.array([-1.0, 1.0], np.float32), (count, dim))


def extremes(result: Tridiagonal) -> np.ndarray:
    """The smallest and the largest eigenvalue at each point, `[n, 2]`."""
    values = [result.quadrature(row)[0] for row in range(len(result.sizes))]
    return np.array([(row[0], row[-1]) for row in values])


def spectral_density(result: Tridiagonal, at: np.ndarray, width: float | None = None) -> np.ndarray:
    """The density of eigenvalues at each of `at`, smoothed by a Gaussian of deviation `width`.

    Each row of `found` is one random probe of the same matrix. By default `width` is a hundredth
    of the range of `at`. It integrates to 1.
    """
    width = (at[-1] - at[0]) / 100 if width is None else width
    density = np.zeros(len(at))
    for row in range(len(result.sizes)):
        values, weights = result.quadrature(row)
        bells = np.exp(-0.5 * ((at[:, None] - values) / width) ** 2) / (width * np.sqrt(2 * np.pi))
        density += bells @ weights / len(result.sizes)
    return density


def sharpness(
    value_and_gradient: Callable[[np.ndarray], tuple[float, np.ndarray]],
    point: np.ndarray,
    epsilon: float = 1e-3,
    steps: int = 10,
    seed: int = 0,
) -> float:
    """How much the loss rises within a small box, in per cent of 1 + loss.

    Keskar et al. 2017 (arXiv:1609.04836, metric 2.1): the maximum over |y_i| <= epsilon (|x_i| +
    1). It is searched from a random point by steps along the signs of the gradient, clipped to the
    box; the paper takes ten steps of L-BFGS-B. Both give a lower bound.
    """
    size = epsilon * (np.abs(point) + 1)
    before = value_and_gradient(point)[0]
    y = size * np.random.default_rng(seed).uniform(-1, 1, point.shape)
    highest = before
    for step in range(steps + 1):
        value, gradient = value_and_gradient(point + y)
        highest = max(highest, value)
        if step < steps:
            y = np.clip(y + size * np.sign(gradient), -size, size)
    return float(100 * (highest - before) / (1 + before))
