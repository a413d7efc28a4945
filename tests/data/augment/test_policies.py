"""RandAugment's operations against Pillow's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from jresnet.data.augment import policies
from jresnet.data.augment.policies import OPERATIONS, RAND, TRIVIAL, RandAugment, TrivialAugment
from jresnet.errors import UsageError
from tests.data.conftest import photograph

PIXELS = photograph(24, 32, period=40)
LEVEL = 0.6


def ours(name, sign=1.0, level=LEVEL, strengths=RAND, pixels=PIXELS):
    operation = jax.jit(
        lambda x: OPERATIONS[name](x, jnp.asarray(level), jnp.asarray(sign), strengths)
    )
    return np.floor(np.clip(operation(jnp.asarray(pixels, jnp.float32)), 0, 255))


FACTOR = 1 + LEVEL * 0.9
PILLOW = {
    "brightness": lambda image: ImageEnhance.Brightness(image).enhance(FACTOR),
    "colour": lambda image: ImageEnhance.Color(image).enhance(FACTOR),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(FACTOR),
    "sharpness": lambda image: ImageEnhance.Sharpness(image).enhance(FACTOR),
    "posterize": lambda image: ImageOps.posterize(image, 8 - round(LEVEL * 4)),
    "solarize": lambda image: ImageOps.solarize(image, round(255 * (1 - LEVEL))),
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "identity": lambda image: image,
}


@pytest.mark.parametrize("name", PILLOW)
def test_colour_operations_are_pillow_s(name):
    # Dark, so that stretching has something to do, and grainy, so that sharpening has.
    grain = np.random.default_rng(0).integers(0, 30, PIXELS.shape)
    dark = (PIXELS // 2 + 20 + grain).astype(np.uint8)
    expected = np.asarray(PILLOW[name](Image.fromarray(dark)), np.float32)
    difference = np.abs(ours(name, pixels=dark) - expected)
    assert difference.max() <= 1, difference.max()  # Pillow rounds on the way
    assert (np.abs(expected - dark).max() > 2) == (name != "identity")


@pytest.mark.parametrize("strengths", [RAND, TRIVIAL])
def test_geometry_is_pillow_s(strengths):
    height, width = PIXELS.shape[:2]
    shear = LEVEL * strengths.shear
    move = LEVEL * strengths.translate
    x, y = (move, move) if strengths.translate_in_pixels else (move * width, move * height)
    matrices = {
        "shear_x": (1, shear, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, 0),
        "translate_x": (1, 0, int(x), 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, int(y)),
    }
    image = Image.fromarray(PIXELS)
    for name, matrix in matrices.items():
        expected = np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix))
        same = (ours(name, strengths=strengths) == expected).all(-1)
        assert same.mean() > 0.99, name  # ties fall to either side
    expected = np.asarray(image.rotate(LEVEL * strengths.rotate))
    assert (ours("rotate", strengths=strengths) == expected).all(-1).mean() > 0.97


def test_both_signs_and_grey_images():
    assert not np.array_equal(ours("rotate", 1.0), ours("rotate", -1.0))
    darker = ours("brightness", -1.0)
    np.testing.assert_allclose(darker, np.floor(PIXELS * (1 - LEVEL * 0.9)), atol=1)
    grey = PIXELS[..., :1]
    for name in OPERATIONS:
        assert ours(name, pixels=grey).shape == grey.shape
    np.testing.assert_array_equal(ours("colour", pixels=grey), grey)


@pytest.mark.parametrize("policy", [RandAugment(2, 9), TrivialAugment()])
def test_images_are_changed_each_in_its_own_way_and_stay_bytes(policy):
    batch = jnp.asarray(np.stack([PIXELS] * 12), jnp.float32)
    run = jax.jit(policy)
    out = np.asarray(run(jax.random.key(0), batch))
    assert (out == np.floor(out)).all()
    assert out.min() >= 0
    assert out.max() <= 255
    assert len({image.tobytes() for image in out}) > 6
    assert np.array_equal(out, run(jax.random.key(0), batch))
    assert not np.array_equal(out, run(jax.random.key(1), batch))


def test_strength_zero_only_leaves_what_has_no_strength():
    batch = jnp.asarray(np.stack([PIXELS] * 40), jnp.float32)
    out = np.asarray(RandAugment(1, 0)(jax.random.key(0), batch))
    unchanged = sum(np.array_equal(image, PIXELS) for image in out)
    # 11 of the 14 are the identity at strength 0 (solarize inverts 255 only, which is not there).
    assert unchanged / 40 == pytest.approx(11 / 14, abs=0.2)


def test_each_operation_is_drawn_as_often(monkeypatch):
    seen = {f"{i}": (lambda image, *_, i=i: jnp.full_like(image, i)) for i in range(5)}
    monkeypatch.setattr(policies, "OPERATIONS", seen)
    out = RandAugment(1, 9)(jax.random.key(0), jnp.zeros((500, 1, 1, 1)))
    counts = np.bincount(np.asarray(out).ravel().astype(int), minlength=5)
    assert counts.min() > 70


def test_bad_values():
    with pytest.raises(UsageError, match="magnitude=31: expected 0 to 30"):
        RandAugment(2, 31)
    with pytest.raises(UsageError, match="operations=0"):
        RandAugment(0)
