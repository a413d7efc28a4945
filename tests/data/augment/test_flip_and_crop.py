from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.colour import PCA_IMAGENET
from jresnet.data.augment.flip_and_crop import RandomCrop, RandomFlip
from jresnet.data.normalisation import IMAGENET, Normalize, channel_statistics
from jresnet.errors import UsageError


def batch(size: int = 64, height: int = 6, width: int = 5) -> np.ndarray:
    """float32 [size, height, width, 2] of values that are all different."""
    return np.arange(1, size * height * width * 2 + 1, dtype=np.float32).reshape(
        size, height, width, 2
    )


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_random_crop_is_numpy_pad_and_slice(
    mode: Literal["constant", "reflect"],
) -> None:
    images, padding = batch(), 2
    cropped = np.asarray(jax.jit(RandomCrop(padding, mode))(jax.random.key(0), images))
    used = set()
    for image, actual in zip(images, cropped, strict=True):
        padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode=mode)
        offsets = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if (padded[y : y + 6, x : x + 5] == actual).all()
        ]
        assert len(offsets) == 1
        used.update(offsets)
    # Every row and column of the 5 x 5 places; 64 draws miss one of five with probability below 1e-5.
    assert {y for y, _ in used} == {x for _, x in used} == set(range(5))


def test_random_flip_mirrors_about_half() -> None:
    images = batch()
    flipped = np.asarray(jax.jit(RandomFlip())(jax.random.key(1), images))
    is_flipped = [
        bool((new == old[:, ::-1]).all()) for new, old in zip(flipped, images, strict=True)
    ]
    is_same = [bool((new == old).all()) for new, old in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(is_flipped, is_same, strict=True))
    assert 20 < sum(is_flipped) < 44


@pytest.mark.parametrize("op", [RandomFlip(), RandomCrop(2)])
def test_all_frames_of_a_clip_move_alike_and_as_an_image_does(op) -> None:
    images = jnp.asarray(batch(16))
    clip = jnp.stack([images, 2 * images, images + 3], 1)
    moved = np.asarray(op(jax.random.key(2), clip))
    expected = np.asarray(op(jax.random.key(2), images))
    np.testing.assert_array_equal(moved[:, 0], expected)
    np.testing.assert_array_equal(moved[:, 1], 2 * expected)
    inside = expected != 0
    np.testing.assert_array_equal(moved[:, 2][inside], expected[inside] + 3)


def test_augmentations_are_functions_of_the_key() -> None:
    for op in (RandomFlip(), RandomCrop()):
        one, same, other = (
            np.asarray(op(jax.random.key(seed), jnp.asarray(batch()))) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


def test_normalize() -> None:
    images = np.array([0, 51, 255], np.uint8).reshape(1, 1, 1, 3)
    actual = jax.jit(IMAGENET)(images)
    assert actual.dtype == jnp.float32
    expected = [(0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(np.asarray(actual).ravel(), expected, rtol=1e-5)


def test_channel_statistics_are_those_of_numpy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 7, 5, 3), np.uint8)
    images[..., 2] = 51
    mean, std = channel_statistics(images)
    scaled = images / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std[:2], scaled.std(axis=(0, 1, 2))[:2], rtol=1e-12)
    assert std[2] == 1.0  # a constant channel
    normalized = np.asarray(Normalize(mean, std)(jnp.asarray(images)))
    np.testing.assert_allclose(normalized.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normalized.std(axis=(0, 1, 2)), [1, 1, 0], atol=1e-5)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="every std > 0"):
        Normalize((0.5,), (0.0,))
    with pytest.raises(UsageError, match="padding=-1"):
        RandomCrop(-1)
    with pytest.raises(UsageError, match="mode='wrap'"):
        RandomCrop(1, "wrap")  # type: ignore[arg-type]


def test_colour_noise_lies_along_the_axes_with_their_variances():
    images = jnp.zeros((4000, 2, 3, 3))
    out = np.asarray(PCA_IMAGENET(jax.random.key(0), images))
    assert (out == out[:, :1, :1]).all()  # one colour an image
    colours = out[:, 0, 0] * np.asarray(PCA_IMAGENET.std)
    along = colours @ np.linalg.inv(np.asarray(PCA_IMAGENET.axes))
    expected = 0.1 * np.asarray(PCA_IMAGENET.variances)
    np.testing.assert_allclose(along.std(0), expected, rtol=0.05)
    # The axes are orthonormal, as principal axes are.
    axes = np.asarray(PCA_IMAGENET.axes)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-3)
