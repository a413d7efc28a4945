"""Corruptions against Pillow, SciPy and Matplotlib's colours."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_image

from jresnet.data.augment.corruptions import (
    KINDS,
    Blur,
    Brightness,
    GaussianNoise,
    Jpeg,
    corruptions,
)
from jresnet.data.augment.jpeg import CHROMINANCE, LUMINANCE, quantisation
from jresnet.errors import UsageError

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def photo():
    """A part of a photograph whose sides are no multiples of 16, uint8 [1, 92, 106, 3]."""
    return load_sample_image("china.jpg")[150:242, 200:306][None]


def corrupted(op, pixels):
    return np.asarray(jax.jit(op)(KEY, jnp.asarray(pixels, jnp.float32)))


def through_pillow(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).astype(np.float32)


@pytest.mark.parametrize("quality", [7, 25, 50, 80, 95])
def test_jpeg_is_pillow_s(photo, quality):
    """But for coefficients on the edge of two steps: libjpeg transforms in whole numbers."""
    grey = photo[0].mean(-1).round().astype(np.uint8)
    actual = corrupted(Jpeg(quality), grey[None, ..., None])[0, ..., 0]
    apart = np.abs(actual - through_pillow(grey, quality))
    assert apart.mean() < 0.5
    assert (apart <= 2).mean() > 0.93
    expected = through_pillow(photo[0], quality)
    apart = np.abs(corrupted(Jpeg(quality), photo)[0] - expected)
    assert apart.mean() < 1.1
    assert (apart <= 4).mean() > 0.94
    assert apart.mean() < 0.25 * np.abs(photo[0].astype(np.float32) - expected).mean()


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 100])
def test_steps_are_those_in_pillow_s_files(photo, quality):
    file = io.BytesIO()
    Image.fromarray(photo[0]).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]
    for number, table in enumerate((LUMINANCE, CHROMINANCE)):
        assert quantisation(table, quality).reshape(-1).tolist() == list(tables[number])


def test_blur_is_scipy_s(photo):
    actual = corrupted(Blur(1.3), photo)[0]
    expected = ndimage.gaussian_filter(photo[0].astype(np.float64), (1.3, 1.3, 0), mode="nearest")
    assert np.abs(actual - expected).max() < 0.51  # whole numbers


def test_brightness_raises_the_value_of_colours(photo):
    pixels = photo.copy()
    pixels[0, 0, 0] = 0
    hsv = rgb_to_hsv(pixels[0] / 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + 0.2, 0, 1)
    actual = corrupted(Brightness(0.2), pixels)[0]
    assert np.abs(actual - 255 * hsv_to_rgb(hsv)).max() < 0.51
    assert actual[0, 0].tolist() == [51, 51, 51]


def test_noise_has_its_deviation_and_its_key():
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    noisy = corrupted(GaussianNoise(0.1), grey)
    assert noisy.std() == pytest.approx(25.5, rel=0.02)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert not np.array_equal(noisy[0], noisy[1])
    other = GaussianNoise(0.1)(jax.random.key(1), jnp.asarray(grey, jnp.float32))
    assert not np.array_equal(noisy, other)


@pytest.mark.parametrize("side", [32, 96])
def test_five_strengths_each_worse_than_the_one_before(photo, side):
    pixels = np.asarray(Image.fromarray(photo[0]).resize((side, side)))[None]
    for kind in KINDS:
        ops = corruptions(pixels.shape[1:])[kind]
        lost = [np.abs(corrupted(op, pixels) - pixels).mean() for op in ops]
        assert len(lost) == 5
        assert lost == sorted(lost), kind
        assert lost[0] > 0


def test_impossible_strengths_are_refused():
    with pytest.raises(UsageError, match="quality=0: expected 1 to 100"):
        Jpeg(0)
    with pytest.raises(UsageError, match="sigma=0: expected above 0"):
        Blur(0)
