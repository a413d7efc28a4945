"""Colour jitter against Pillow, which torchvision's is defined by."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from jresnet.data.augment.colour import ColourJitter, adjusted
from jresnet.errors import UsageError

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)


@pytest.mark.parametrize(
    ("place", "enhance"),
    list(enumerate((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color))),
)
@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_each_factor_does_what_pillow_does(place: int, enhance: type, factor: float):
    factors = jnp.ones(3).at[place].set(factor)
    ours = np.asarray(adjusted(jnp.asarray(PICTURE, jnp.float32), factors))
    pillows = np.asarray(enhance(Image.fromarray(PICTURE)).enhance(factor))
    # Pillow rounds the grey value and cuts the result off to whole numbers.
    assert np.abs(ours - pillows).max() < 1.6


def test_a_batch_is_changed_image_by_image_within_the_limits():
    images = jnp.full((64, 4, 4, 3), 100.0)
    result = np.asarray(ColourJitter(0.4, 0.0, 0.0)(jax.random.key(0), images))
    assert np.ptp(result, axis=(1, 2, 3)).max() == 0
    factors = result[:, 0, 0, 0] / 100
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4


def test_saturation_leaves_grey_images_alone():
    images = jnp.asarray(PICTURE[None, ..., :1], jnp.float32)
    result = ColourJitter(0.0, 0.0, 1.0)(jax.random.key(0), images)
    np.testing.assert_allclose(result, images, atol=1e-4)


def test_a_factor_out_of_range_is_named():
    with pytest.raises(UsageError, match=r"contrast=1\.5: expected 0 to 1"):
        ColourJitter(contrast=1.5)
