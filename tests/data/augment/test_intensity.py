"""Intensity augmentation against numpy, at ranks 2 and 3."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.intensity import Gain, Gamma, Noise, Offset
from jresnet.errors import UsageError

KEY = jax.random.key(3)
ALWAYS = {
    "gain": Gain(probability=1.0),
    "offset": Offset(probability=1.0),
    "noise": Noise(probability=1.0),
    "gamma": Gamma(probability=1.0),
    "inverted": Gamma(probability=1.0, inverted=True),
}


def batch(shape=(6, 5, 4, 3, 2)):
    return jnp.asarray(np.random.default_rng(0).normal(2, 3, shape), jnp.float32)


@pytest.mark.parametrize("name", ALWAYS)
@pytest.mark.parametrize("shape", [(6, 5, 4, 2), (6, 5, 4, 3, 1)])
def test_every_example_is_changed_by_itself_and_floats_stay_floats(name, shape):
    images = batch(shape)
    changed = jax.jit(ALWAYS[name])(KEY, images)
    assert (changed.shape, changed.dtype) == (images.shape, jnp.float32)
    assert np.isfinite(changed).all()
    assert all((a != b).any() for a, b in zip(changed, images, strict=True))


@pytest.mark.parametrize("name", ALWAYS)
def test_with_probability_0_nothing_changes(name):
    never = type(ALWAYS[name])(probability=0.0)
    np.testing.assert_array_equal(never(KEY, batch()), batch())


def test_gain_and_offset_are_one_number_an_example_within_their_bounds():
    images = batch((64, 3, 3, 3, 1))
    factors = np.asarray(Gain(0.5, 1.5, 1.0)(KEY, images) / images).reshape(64, -1)
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1], factors.shape), rtol=1e-4)
    assert 0.5 <= factors.min() < 0.6
    assert 1.4 < factors.max() <= 1.5
    added = np.asarray(Offset(0.3, 1.0)(KEY, images) - images).reshape(64, -1)
    np.testing.assert_allclose(added, np.broadcast_to(added[:, :1], added.shape), atol=1e-5)
    assert -0.301 < added.min() < -0.2
    assert 0.2 < added.max() < 0.301


def test_noise_has_at_most_its_variance():
    images = jnp.zeros((64, 12, 12, 12, 1))
    variances = np.asarray(Noise(0.1, 1.0)(KEY, images)).reshape(64, -1).var(1)
    assert 0.08 < variances.max() < 0.11
    assert variances.min() < 0.01


def test_gamma_keeps_the_range_and_the_order():
    images = batch((8, 4, 4, 4, 1))
    for inverted in (False, True):
        changed = np.asarray(Gamma(0.5, 2.0, 1.0, inverted)(KEY, images)).reshape(8, -1)
        flat = np.asarray(images).reshape(8, -1)
        np.testing.assert_allclose(changed.min(1), flat.min(1), atol=1e-4)
        np.testing.assert_allclose(changed.max(1), flat.max(1), atol=1e-2)
        ordered = np.take_along_axis(changed, flat.argsort(1), 1)
        assert np.diff(ordered, axis=1).min() > -1e-2
        share = (flat - flat.min(1, keepdims=True)) / np.ptp(flat, 1)[:, None]
        out = (changed - flat.min(1, keepdims=True)) / np.ptp(flat, 1)[:, None]
        share, out = (1 - share, 1 - out) if inverted else (share, out)
        inner = (share > 0.2) & (share < 0.8)
        for one in range(8):  # out = share ** power, with one power an example
            powers = np.log(out[one][inner[one]]) / np.log(share[one][inner[one]])
            assert np.ptp(powers) < 1e-2
            assert 0.5 < powers.mean() < 2.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Gain(2.0, 1.0), "low=2.0, high=1.0: expected low <= high"),
        (lambda: Gamma(0.0, 1.0), "low=0.0: expected above 0"),
        (lambda: Noise(probability=2.0), "probability=2.0: expected 0 to 1"),
    ],
)
def test_arguments_that_cannot_be(build, message):
    with pytest.raises(UsageError, match=message):
        build()
