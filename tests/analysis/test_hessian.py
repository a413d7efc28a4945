"""Curvature of a quadratic with a chosen spectrum, and of a net small enough for the whole matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ortho_group

from jresnet.analysis.hessian import (
    extremes,
    hessian_product,
    lanczos,
    random_starts,
    sharpness,
    spectral_density,
)
from jresnet.analysis.landscape import kernels, point_mesh
from tests.nets import normal

DIM = 24
SPECTRUM = np.concatenate([[-2.0], np.linspace(0, 1, DIM - 2), [10.0]])
BASIS = ortho_group.rvs(DIM, random_state=np.random.default_rng(0))
MATRIX = (BASIS * SPECTRUM) @ BASIS.T


def quadratic(params, batch):
    """Half of k' MATRIX k for the kernel, and something steep in the bias."""
    k = params["kernel"].ravel()
    return batch["weight"] * (0.5 * k @ jnp.asarray(MATRIX, jnp.float32) @ k) + jnp.sum(
        params["bias"] ** 4
    )


def product(points, devices):
    params = {"kernel": normal(6, 4), "bias": normal(3)}
    ways = [{"kernel": normal(6, 4, seed=1), "bias": normal(3, seed=2)}]
    batches = [{"weight": jnp.float32(3)}, {"weight": jnp.float32(1)}]
    mesh = point_mesh(jax.devices()[:devices])
    return hessian_product(quadratic, mesh)(params, ways, points, batches, 1 / 4)


def test_the_spectrum_of_a_quadratic():
    multiply = product(np.array([[0.0], [0.7]]), 2)
    vectors = np.asarray(normal(2, DIM), np.float32)
    np.testing.assert_allclose(multiply(vectors), vectors @ MATRIX, rtol=1e-4, atol=1e-4)
    actual = lanczos(multiply, random_starts(np.random.default_rng(0), 2, DIM), DIM)
    for row in range(2):
        np.testing.assert_allclose(actual.quadrature(row)[0], SPECTRUM, atol=2e-4)
    # The ends come long before the rest.
    few = lanczos(multiply, random_starts(np.random.default_rng(1), 2, DIM), 10)
    np.testing.assert_allclose(extremes(few), [(-2, 10)] * 2, atol=1e-3)


def test_lanczos_ends_where_nothing_is_left():
    # Three different eigenvalues: three steps are all there are; a start within two of them, two.
    values = np.repeat([1.0, 3.0, 7.0], 4)
    start = np.ones((2, 12), np.float32)
    start[1, 8:] = 0
    actual = lanczos(lambda v: v * values, start, 12)
    assert actual.sizes.tolist() == [3, 2]
    np.testing.assert_allclose(actual.quadrature(0)[0], [1, 3, 7], atol=1e-5)
    np.testing.assert_allclose(actual.quadrature(0)[1], [1 / 3] * 3, atol=1e-5)
    np.testing.assert_allclose(extremes(actual), [(1, 7), (1, 3)], atol=1e-5)


def test_the_density_has_the_moments_of_its_probes():
    probes = random_starts(np.random.default_rng(0), 8, DIM)
    actual = lanczos(product(np.zeros((8, 1)), 8), probes, 12)
    at = np.linspace(-4, 12, 2001)
    density = spectral_density(actual, at, width=0.05)
    assert np.trapezoid(density, at) == pytest.approx(1, abs=1e-3)
    # Quadrature is exact for polynomials: the density's mean is that of v' A v, v a probe.
    image = probes @ MATRIX
    mean, square = (probes * image).sum(1).mean() / DIM, (image**2).sum(1).mean() / DIM
    assert np.trapezoid(density * at, at) == pytest.approx(mean, rel=1e-3)
    assert np.trapezoid(density * at**2, at) == pytest.approx(square + 0.05**2, rel=1e-3)
    assert density[(at > 2) & (at < 9)].max() < 1e-3


def test_the_product_is_the_dense_hessian_s():
    params = {"one": {"kernel": normal(3, 4), "bias": normal(4)}, "two": normal(4, 2, seed=1)}
    batch = {"image": normal(5, 3, seed=2), "valid": jnp.array([1.0, 1, 1, 1, 0])}

    def loss(params, batch):
        y = jnp.tanh(batch["image"] @ params["one"]["kernel"] + params["one"]["bias"][None])
        return jnp.sum(batch["valid"] * jnp.sum(y @ params["two"], -1) ** 2)

    vector, whole = kernels(params)
    dense = jax.hessian(lambda vector: loss(whole(vector), batch))(vector)
    assert dense.shape == (20, 20)
    multiply = hessian_product(loss, point_mesh(jax.devices()[:1]))(
        params, [], np.zeros((1, 0)), [batch], 0.5
    )
    actual = np.concatenate([multiply(row[None]) for row in np.eye(20, dtype=np.float32)])
    np.testing.assert_allclose(actual, 0.5 * dense, rtol=1e-3, atol=1e-3)
    jax.tree.map(np.testing.assert_array_equal, whole(vector), params)


def test_sharpness_of_a_quadratic_bowl():
    curvature = np.array([1.0, 4.0, 0.5])

    def bowl(x):
        return 2 + 0.5 * float(curvature @ x**2), curvature * x

    # The corner of the box: 2 + eps^2 / 2 * sum of curvatures.
    expected = 100 * 0.5 * 0.01**2 * curvature.sum() / 3
    assert sharpness(bowl, np.zeros(3), epsilon=0.01) == pytest.approx(expected)
    assert sharpness(lambda x: (1.0, np.zeros(3)), np.zeros(3)) == 0
