"""The path of training through parameter space: its plane, and gradients along it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jresnet.analysis.landscape import Params, kernels


class Plane(NamedTuple):
    """The plane of a path.

    - directions: two orthonormal directions.
    - path: its coordinates along them `[points, 2]`.
    - explained: the shares of its variance along them `[2]`.
    """

    directions: list[Params]
    path: np.ndarray
    explained: np.ndarray


def trajectory_plane(points: Sequence[Params]) -> Plane:
    """The plane through the last point with most of a path's variance.

    Principal components of [p_0 - p_n, ..., p_{n-1} - p_n] (Li et al. 2018, arXiv:1712.09913,
    section 7); biases and BatchNorm are left out, as in random directions. Raises ValueError for
    fewer than three points.
    """
    if len(points) < 3:
        raise ValueError(f"{len(points)} points span no plane: take three or more")
    rows = [np.asarray(kernels(point)[0], np.float64) for point in points]
    away = np.stack(rows) - rows[-1]
    centred = away[:-1] - away[:-1].mean(0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    along = kernels(jax.tree.map(jnp.zeros_like, points[-1]))[1]
    directions = [along(jnp.asarray(axis, jnp.float32)) for axis in axes]
    return Plane(directions, away @ axes.T, lengths[:2] ** 2 / np.sum(lengths**2))


def gradient_lipschitz(
    gradient: Callable[[Any], np.ndarray], points: Sequence[Params]
) -> np.ndarray:
    """|g(p_{k+1}) - g(p_k)| / |p_{k+1} - p_k| between successive points, `[points - 1]`.

    A lower bound of the gradient's Lipschitz constant there, which says how well the gradient
    predicts the next one (Santurkar et al. 2018, arXiv:1805.11604, section 3.2). `gradient` returns
    a vector.
    """
    slopes = [np.asarray(gradient(point), np.float64) for point in points]
    places = [np.asarray(ravel_pytree(point)[0], np.float64) for point in points]
    return np.array(
        [
            np.linalg.norm(b - a) / np.linalg.norm(q - p)
            for a, b, p, q in zip(slopes, slopes[1:], places, places[1:], strict=False)
        ]
    )
