"""Bicubic resizing: BasicSR's imresize, Pillow itself, and padded pictures as if alone."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jresnet.data.augment.resize import as_bytes, matrix, resize
from tests.nets import read_arrays

CASES = {
    "imresize_1_2": ("imresize_image", Fraction(1, 2)),
    "imresize_1_3": ("imresize_image", Fraction(1, 3)),
    "imresize_1_4": ("imresize_image", Fraction(1, 4)),
    "imresize_2": ("imresize_image", Fraction(2)),
    "imresize_odd_1_2": ("imresize_odd_image", Fraction(1, 2)),
    "imresize_odd_1_3": ("imresize_odd_image", Fraction(1, 3)),
    "imresize_odd_3_2": ("imresize_odd_image", Fraction(3, 2)),
}


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("case", CASES)
def test_matlab_s_imresize(golden, case):
    name, factor = CASES[case]
    gold = read_arrays(golden / "sr_metrics.npz")
    image, expected = gold[f"{name}/image"], gold[f"{case}/y"]
    ours = np.asarray(resize(jnp.asarray(image)[None], factor, rounded=False))[0] / 255
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize("factor", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2), Fraction(4)])  # fmt: skip
def test_pillow_within_its_rounding(factor):
    image = pictures(48, 36, 3)
    size = [int(side * factor) for side in (36, 48)]
    theirs = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    ours = np.asarray(resize(jnp.asarray(image)[None], factor, "pillow"))[0]
    # Pillow computes in fixed point: a half may fall to the other side, of an axis and of the next.
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.99


@pytest.mark.parametrize("kind", ["matlab", "pillow"])
@pytest.mark.parametrize("factor", [Fraction(1, 2), Fraction(1, 3), Fraction(3)])
def test_a_padded_picture_gives_what_it_gives_alone(kind, factor):
    batch = pictures(3, 36, 30, 3)
    sizes = np.array([[36, 30], [18, 24], [12, 6]])
    resized = jax.jit(lambda x, s: resize(x, factor, kind, s))
    padded = np.asarray(resized(batch, sizes))
    for row, image, (height, width) in zip(padded, batch, sizes, strict=True):
        alone = np.asarray(resize(jnp.asarray(image[:height, :width])[None], factor, kind))[0]
        h, w = alone.shape[:2]
        np.testing.assert_allclose(row[:h, :w], alone, atol=1e-3)
        edge = np.pad(alone, ((0, len(row) - h), (0, row.shape[1] - w), (0, 0)), mode="edge")
        np.testing.assert_allclose(row, edge, atol=1e-3)  # continued, not made up


@pytest.mark.parametrize("kind", ["matlab", "pillow"])
def test_weights_add_up_to_one_and_leave_padding_out(kind):
    weights = np.asarray(matrix(7, 12, 6, Fraction(1, 2), kind))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    assert (weights[:, 7:] == 0).all()
    np.testing.assert_array_equal(weights[4:], weights[3:4].repeat(2, 0))  # ceil(7 / 2) real rows


def test_a_long_axis_loses_no_digits():
    """Weights of the last rows of 500 pixels are those of the first ones, mirrored."""
    weights = np.asarray(matrix(500, 500, 500 * 3, Fraction(3)))
    np.testing.assert_allclose(weights[::-1, ::-1], weights, atol=1e-6)


def test_halves_are_rounded_up_and_the_range_is_kept():
    x = jnp.asarray([-3.0, 0.5, 1.49, 254.5, 300.0])
    np.testing.assert_array_equal(as_bytes(x), [0, 1, 1, 255, 255])
