"""Singular values of Jacobians from products alone, without the matrix.

Golub-Kahan-Lanczos bidiagonalisation (Golub & Van Loan, section 10.4) needs products with J
(forward mode) and J^T (reverse mode). Lanczos on J^T J would square small values. The extreme
singular values converge first.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from jresnet.analysis.chain import Piece

Array = jax.Array
Product = Callable[[np.ndarray], np.ndarray]


class Extremes(NamedTuple):
    """A lower bound of the largest singular value, and an upper bound of the smallest.

    For a Jacobian with fewer outputs than inputs, the smallest is that of its transpose.
    """

    largest: float
    smallest: float


def bidiagonalise(forward: Product, backward: Product, start: np.ndarray, steps: int) -> np.ndarray:
    """The upper bidiagonal matrix whose singular values approximate those of J.

    Args:
        forward: v -> J v.
        backward: u -> J^T u.
        start: first vector `[inputs]`.
        steps: most steps.

    Returns:
        `[k, k]`, with k at most `steps`. k is less if the Krylov space is exhausted; the singular
        values are then exact on it. Both bases are fully orthogonalised.
    """
    v = start / np.linalg.norm(start)
    right, left, alphas, betas = [v], [], [], []
    for step in range(min(steps, len(start))):
        u = forward(right[-1]).astype(np.float64)
        u = _orthogonal(u - (betas[-1] * left[-1] if left else 0), left)
        alpha = float(np.linalg.norm(u))
        if alpha <= 1e-7 * max([alpha, *alphas, *betas]):
            alphas.append(0.0)
            break
        left.append(u / alpha)
        alphas.append(alpha)
        v = backward(left[-1]).astype(np.float64) - alpha * right[-1]
        v = _orthogonal(v, right)
        beta = float(np.linalg.norm(v))
        if step == min(steps, len(start)) - 1 or beta <= 1e-7 * max(*alphas, beta):
            break
        right.append(v / beta)
        betas.append(beta)
    size = len(alphas)
    return np.diag(alphas) + np.diag(betas[: size - 1], 1)


def _orthogonal(vector: np.ndarray, basis: list[np.ndarray]) -> np.ndarray:
    if basis:
        known = np.stack(basis)
        for _ in range(2):
            vector = vector - known.T @ (known @ vector)
    return vector


def extremes(forward: Product, backward: Product, size: int, steps: int, seed: int = 0) -> Extremes:
    """The largest and the smallest singular value after `steps` steps from a random start."""
    start = np.random.default_rng(seed).normal(size=size)
    values = np.linalg.svd(bidiagonalise(forward, backward, start, steps), compute_uv=False)
    return Extremes(float(values[0]), float(values[-1]))


def products(
    piece: Piece, variables: Mapping[str, Any], h: Array, *, train: bool = True
) -> tuple[Product, Product]:
    """`J v` and `J^T u` of a block at `h` `[batch, *spatial, channels]`, over flat vectors.

    With `train` it is the Jacobian of the whole batch, since BatchNorm couples the examples.
    """
    bare, selected = Piece("", (), piece.module), piece.select(variables)
    shape = jax.eval_shape(lambda h: bare(selected, h, train=train), h).shape

    def forward(v: np.ndarray) -> np.ndarray:
        return np.asarray(
            _forward(bare, selected, h, np.asarray(v, h.dtype).reshape(h.shape), train)
        )

    def backward(u: np.ndarray) -> np.ndarray:
        return np.asarray(
            _backward(bare, selected, h, np.asarray(u, h.dtype).reshape(shape), train)
        )

    return forward, backward


@functools.partial(jax.jit, static_argnums=(0, 4))
def _forward(piece: Piece, variables: Any, h: Array, v: Array, train: bool) -> Array:
    return jax.jvp(lambda h: piece(variables, h, train=train), (h,), (v,))[1].ravel()


@functools.partial(jax.jit, static_argnums=(0, 4))
def _backward(piece: Piece, variables: Any, h: Array, u: Array, train: bool) -> Array:
    return jax.vjp(lambda h: piece(variables, h, train=train), h)[1](u)[0].ravel()
