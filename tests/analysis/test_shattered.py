"""Autocorrelation of gradients: known series, and the order of the nets."""

import jax
import jax.numpy as jnp
import numpy as np

from jresnet.analysis.shattered import (
    Rectifier,
    autocorrelation,
    correlation_by_lag,
    derivative,
    gradients_along,
)


def test_autocorrelation_of_known_series():
    wave = np.cos(2 * np.pi * np.arange(1000) / 50)
    actual = autocorrelation(wave, 51)
    np.testing.assert_allclose(actual[[0, 25, 50]], [1, -1, 1], atol=0.06)
    noise = np.random.default_rng(0).normal(size=4000)
    assert abs(autocorrelation(noise, 20)[1:]).max() < 0.06
    assert autocorrelation(np.cumsum(noise), 2)[1] > 0.99
    assert autocorrelation(np.ones(9), 3).tolist() == [0, 0, 0]


def test_the_derivative_is_that_of_the_net():
    with jax.enable_x64(True):
        x, key, step = jnp.linspace(-2, 2, 9), jax.random.key(0), 1e-6
        for net in (Rectifier(3, 20), Rectifier(3, 20, residual=True)):
            numeric = (net(key, x + step) - net(key, x - step)) / (2 * step)
            np.testing.assert_allclose(derivative(net, key, x), numeric, rtol=1e-5)


def test_plain_gradients_shatter_and_residual_ones_less():
    x = jnp.linspace(-2, 2, 128)

    def lag_one(net):
        keys = jax.random.split(jax.random.key(1), 8)
        slopes = jax.jit(jax.vmap(lambda key: derivative(net, key, x)))(keys)
        return np.mean([autocorrelation(row, 2)[1] for row in np.asarray(slopes)])

    plain = lag_one(Rectifier(24, 100, normalised=True))
    residual = lag_one(Rectifier(24, 100, residual=True, normalised=True))
    shallow = lag_one(Rectifier(2, 100, normalised=True))
    assert plain < 0.2 < 0.5 < residual < shallow


def test_correlation_of_gradients_along_a_line():
    start, end = jnp.zeros((2, 2)), jnp.ones((2, 2))
    # d/dx of |x|^2 points along x wherever one is on the line; that of a linear function is one.
    actual = gradients_along(lambda x: (x**2).sum((1, 2)), start + 0.5, end, 5)
    np.testing.assert_allclose(actual[0], np.ones(4))
    np.testing.assert_allclose(correlation_by_lag(actual, 3), 1, rtol=1e-6)
    turned = np.array([[1.0, 0], [0, 1], [-1, 0]])
    np.testing.assert_allclose(correlation_by_lag(turned, 3), [1, 0, -1])
