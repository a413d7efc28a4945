"""BatchNorm against computing by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.gates import SqueezeExcite
from jresnet.models.layers import BatchNorm, GroupNorm


def run(norm, x, train=True):
    variables = norm.init(jax.random.key(0), x, train=False)
    variables["params"]["scale"] = jnp.asarray([1.5, 0.5, 2.0])
    variables["params"]["bias"] = jnp.asarray([0.1, -0.2, 0.3])
    return norm.apply(variables, x, train=train, mutable=["batch_stats"])


def data(*shape, offset=0.0):
    values = np.random.default_rng(0).normal(size=shape) + offset
    return values.astype(np.float32)


@pytest.mark.parametrize("group", [None, 8, 4, 2])
@pytest.mark.parametrize("fast", [True, False])
def test_statistics_of_groups(group, fast):
    x = data(8, 5, 6, 3)
    y, state = run(BatchNorm(group=group, fast_variance=fast), x)
    size = group or 8
    means, unbiased = [], []
    for start in range(0, 8, size):
        part = x[start : start + size].astype(np.float64)
        mean, var = part.mean((0, 1, 2)), part.var((0, 1, 2))
        expected = (part - mean) / np.sqrt(var + 1e-5) * [1.5, 0.5, 2.0] + [0.1, -0.2, 0.3]
        np.testing.assert_allclose(y[start : start + size], expected, atol=1e-5)
        means.append(mean)
        unbiased.append(part.var((0, 1, 2), ddof=1))
    stats = state["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * np.mean(means, 0), atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * np.mean(unbiased, 0), rtol=1e-5)


def test_running_statistics_serve_the_evaluation():
    x = data(8, 5, 3)
    norm = BatchNorm()
    variables = norm.init(jax.random.key(0), x, train=False)
    variables["batch_stats"] = {"mean": jnp.asarray([1.0, 2, 3]), "var": jnp.asarray([4.0, 5, 6])}
    y, state = norm.apply(variables, x, train=False, mutable=["batch_stats"])
    np.testing.assert_allclose(y, (x - [1, 2, 3]) / np.sqrt([4.00001, 5.00001, 6.00001]), rtol=1e-5)
    np.testing.assert_array_equal(state["batch_stats"]["mean"], [1, 2, 3])


def test_two_passes_keep_the_digits_that_one_pass_loses():
    x = data(64, 4, 4, 3, offset=3000.0)
    expected = (x.astype(np.float64) - x.mean((0, 1, 2))) / x.astype(np.float64).std((0, 1, 2))
    expected = expected * [1.5, 0.5, 2.0] + [0.1, -0.2, 0.3]
    slow = run(BatchNorm(fast_variance=False), x)[0]
    np.testing.assert_allclose(slow, expected, atol=5e-3)
    fast = run(BatchNorm(), x)[0]
    assert np.isfinite(fast).all()
    assert np.abs(fast - expected).max() > 1e-2


def test_a_batch_that_does_not_divide_is_refused():
    norm = BatchNorm(group=5)
    with pytest.raises(ValueError, match="batch of 8 is not a multiple of BatchNorm group 5"):
        norm.init(jax.random.key(0), data(8, 3), train=True)


def test_one_value_a_channel_is_refused_in_training_alone():
    norm, x = BatchNorm(), jnp.full((1, 1, 1, 3), 2.0)
    variables = norm.init(jax.random.key(0), x, train=True)
    with pytest.raises(
        ValueError, match=r"\(1, 1, 1, 3\) has one value a channel: expected a batch"
    ):
        norm.apply(variables, x, train=True, mutable=["batch_stats"])
    assert norm.apply(variables, x, train=False).shape == x.shape
    two = jnp.concatenate([x, x])
    with pytest.raises(ValueError, match="one value a channel"):
        BatchNorm(group=1).apply(variables, two, train=True, mutable=["batch_stats"])
    norm.apply(variables, two, train=True, mutable=["batch_stats"])


def test_group_norm_normalises_each_example():
    x = data(2, 4, 4, 6)
    norm = GroupNorm(groups=3)
    y = norm.apply(norm.init(jax.random.key(0), x, train=False), x, train=True)
    split = x.reshape(2, 16, 3, 2)
    expected = (split - split.mean((1, 3), keepdims=True)) / np.sqrt(
        split.var((1, 3), keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(y, expected.reshape(x.shape), atol=1e-5)


def test_squeeze_excite_weighs_channels_by_a_number_between_0_and_1():
    x = data(2, 4, 4, 64)
    layer = SqueezeExcite()
    variables = layer.init(jax.random.key(0), x)
    assert variables["params"]["squeeze"]["kernel"].shape == (1, 1, 64, 8)
    weighted: Any = layer.apply(variables, x)
    ratio = weighted / x
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], ratio.shape), rtol=1e-5)
    assert 0 < ratio.min() < ratio.max() < 1
