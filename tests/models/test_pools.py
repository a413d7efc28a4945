"""Pools and gates against computing by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.gates import EfficientChannelAttention
from jresnet.models.layers import Conv, standardise
from jresnet.models.pools import blur_pool, max_blur_pool, max_pool, zero_padded_max_pool
from tests.nets import normal


def test_blur_pool_is_the_binomial_filter_with_reflected_borders():
    x = normal(1, 5, 6, 2)
    y = blur_pool(x, 2)
    padded = np.pad(x[0], [(1, 1), (1, 1), (0, 0)], mode="reflect")
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for i in range(3):
        for j in range(3):
            window = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            np.testing.assert_allclose(
                y[0, i, j], (weights[..., None] * window).sum((0, 1)), atol=1e-6
            )
    assert y.shape == (1, 3, 3, 2)
    np.testing.assert_allclose(blur_pool(jnp.ones((1, 4, 4, 4, 1)), 2), 1)


def test_the_anti_aliased_stem_pools_densely_first():
    x = normal(1, 6, 6, 1)
    np.testing.assert_allclose(max_blur_pool(x), blur_pool(max_pool(x, 3, 1)))


def test_a_border_of_zeros_shows_where_values_are_negative():
    x = -jnp.ones((1, 4, 4, 1))
    assert float(zero_padded_max_pool(x)[0, 0, 0, 0]) == 0
    assert float(max_pool(x)[0, 0, 0, 0]) == -1
    assert zero_padded_max_pool(x).shape == max_pool(x).shape


@pytest.mark.parametrize(("channels", "kernel"), [(64, 3), (256, 5), (512, 5), (2048, 7)])
def test_efficient_channel_attention_by_hand(channels, kernel):
    x, layer = normal(2, 3, 3, channels), EfficientChannelAttention()
    weights = normal(kernel, 1, 1, seed=1)
    y = layer.apply({"params": {"conv": {"kernel": weights}}}, x)
    means = np.pad(np.asarray(x).mean((1, 2)), [(0, 0), (kernel // 2,) * 2])
    mixed = [np.correlate(row, np.asarray(weights)[:, 0, 0], "valid") for row in means]
    gates = 1 / (1 + np.exp(-np.asarray(mixed)))
    np.testing.assert_allclose(y, x * gates[:, None, None], atol=1e-5)


def test_standardised_kernels_have_no_mean_and_unit_variance():
    kernel = standardise(normal(3, 3, 4, 5) * 3 + 1)
    np.testing.assert_allclose(kernel.mean((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(kernel.var((0, 1, 2)), 1, rtol=1e-5)
    layer, x = Conv(5, transform=standardise), normal(1, 6, 6, 4)
    variables = {"params": {"kernel": normal(3, 3, 4, 5)}}
    scaled = jax.tree.map(lambda k: 10 * k, variables)
    np.testing.assert_allclose(layer.apply(variables, x), layer.apply(scaled, x), atol=1e-4)
