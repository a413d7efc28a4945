"""Pictures brought to one mean and deviation."""

import jax.numpy as jnp
import numpy as np

from jresnet.data.normalisation import OfEachPicture


def test_light_and_contrast_leave_a_picture_as_it_is_and_noise_stays_small():
    rng = np.random.default_rng(0)
    picture = rng.integers(60, 120, (1, 9, 7, 1)).astype(np.uint8)
    pictures = np.concatenate([picture, picture + 40, np.full_like(picture, 90), 90 + picture % 2])
    result = np.asarray(OfEachPicture()(jnp.asarray(pictures)))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.mean((1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result[1], result[0], atol=1e-5)
    # Each by itself: deviation / (deviation + 8).
    deviation = picture.astype(float).std()
    assert abs(result[0].std() - deviation / (deviation + 8)) < 1e-5
    assert np.abs(result[2]).max() < 1e-5
    assert result[3].std() < 0.1
    twice = np.asarray(OfEachPicture(0.0)(jnp.asarray(2.0 * picture)))
    np.testing.assert_allclose(twice, np.asarray(OfEachPicture(0.0)(jnp.asarray(picture))), atol=1e-5)  # fmt: skip
