"""A path in a known plane, and a gradient of known slope."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jresnet.analysis.trajectory import gradient_lipschitz, trajectory_plane
from tests.nets import normal


def points(coordinates, axes):
    """Parameters with a kernel in the plane and a bias that runs away."""
    kernel = np.asarray(normal(5, 4))
    return [
        {
            "kernel": jnp.asarray(kernel + (at @ axes).reshape(5, 4), jnp.float32),
            "bias": jnp.full(3, 100.0 * number),
        }
        for number, at in enumerate(coordinates)
    ]


def test_the_plane_of_a_path_is_found():
    axes = np.linalg.qr(np.asarray(normal(20, 2, seed=1)))[0].T
    rng = np.random.default_rng(0)
    # Far from the last point and long in one direction, half as long in the other.
    away = np.linspace(8, 0, 9)[:, None] * [1, 0] + rng.normal(size=(9, 2)) * [0, 1]
    away -= away[-1]
    plane = trajectory_plane(points(away, axes))
    flat = [np.asarray(ravel_pytree(d)[0]) for d in plane.directions]
    np.testing.assert_allclose(np.stack(flat) @ np.stack(flat).T, np.eye(2), atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.norm(plane.path[:, None] - plane.path, axis=-1),
        np.linalg.norm(away[:, None] - away, axis=-1),
        atol=1e-4,
    )
    assert plane.path[-1] == pytest.approx([0, 0])
    variances = np.linalg.eigvalsh(np.cov(away[:-1].T))[::-1]
    np.testing.assert_allclose(plane.explained, variances / variances.sum(), atol=1e-5)
    assert not np.any(plane.directions[0]["bias"])


def test_what_lies_outside_of_the_plane_is_not_explained():
    rng = np.random.default_rng(0)
    axes = np.eye(20)
    walk = np.cumsum(rng.normal(size=(30, 20)), 0)
    plane = trajectory_plane(points(walk, axes))
    assert 0.5 < plane.explained.sum() < 0.95
    with pytest.raises(ValueError, match="2 points span no plane"):
        trajectory_plane(points(walk[:2], axes))


def test_the_slope_of_a_quadratic_s_gradient():
    curvature = np.array([1.0, 2.0, 5.0])
    path = [{"a": jnp.asarray(p)} for p in ([0.0, 0, 0], [2.0, 0, 0], [2.0, 0, 1], [3.0, 1, 1])]
    actual = gradient_lipschitz(lambda p: curvature * np.asarray(p["a"]), path)
    np.testing.assert_allclose(actual, [1, 5, np.sqrt(5 / 2)], rtol=1e-6)
