"""Style and content losses against a second computation, and what must leave them alone."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jresnet.recipes.styling import SmoothingName
from jresnet.tasks.style_losses import (
    SMOOTHINGS,
    FeatureLoss,
    Plain,
    Scaled,
    SoftmaxAll,
    SoftmaxChannels,
    gram,
    grey,
    variation,
    with_colour_of,
)


def halves(pixels):
    return pixels / 255 - 0.5


class Pointwise(nn.Module):
    """Features of single pixels: position decides nothing."""

    @nn.compact
    def __call__(self, x, *, train: bool):
        assert not train
        stem = nn.relu(nn.Conv(4, (1, 1), name="a")(x))
        return {"stem": stem, "stage1": nn.relu(nn.Conv(5, (1, 1), (2, 2), name="b")(stem))}


def photos(count=2, height=6, width=8, seed=0):
    return np.random.default_rng(seed).random((count, height, width, 3), np.float32)


def loss(**fields):
    usual = {"style": ("stem", "stage1"), "content": "stage1"}
    return FeatureLoss(Pointwise(), halves, **{**usual, **fields})


@pytest.fixture(scope="module")
def net():
    return Pointwise().init(jax.random.key(0), jnp.zeros((1, 6, 8, 3)), train=False)


def constants(criterion, net, styles):
    return {"net": net, "grams": criterion.grams(criterion.features(net, styles))}


def gram_in_numpy(features):
    height, width, channels = features.shape
    result = np.zeros((channels, channels))
    for y in range(height):
        for x in range(width):
            result += np.outer(features[y, x], features[y, x])
    return result / (channels * height * width)


def test_a_gram_matrix_is_the_mean_outer_product_of_positions_over_channels():
    features = np.random.default_rng(1).normal(size=(2, 3, 5, 4)).astype(np.float32)
    for ours, one in zip(gram(jnp.asarray(features)), features, strict=True):
        np.testing.assert_allclose(ours, gram_in_numpy(one.astype(np.float64)), rtol=1e-5)


def test_the_loss_is_that_of_a_second_computation(net):
    criterion = loss(
        style_weight=3.0, content_weight=0.5, variation_weight=2.0, layer_weights=(1.0, 4.0)
    )
    pictures, content, style = photos(seed=1), photos(seed=2), photos(1, 4, 10, seed=3)
    total, parts = criterion(pictures, content, constants(criterion, net, style))

    def apply(x):
        shown = Pointwise().apply(net, halves(255 * x), train=False)
        return {layer: np.asarray(values, np.float64) for layer, values in shown.items()}

    ours, truth, aim = apply(pictures), apply(content), apply(style)
    for row in range(2):
        styles = [
            np.mean((gram_in_numpy(ours[layer][row]) - gram_in_numpy(aim[layer][0])) ** 2)
            for layer in ("stem", "stage1")
        ]
        x = pictures[row].astype(np.float64)
        expected = {
            "style": styles[0] + 4 * styles[1],
            "content": np.mean((ours["stage1"][row] - truth["stage1"][row]) ** 2),
            "variation": np.abs(x[1:] - x[:-1]).mean() + np.abs(x[:, 1:] - x[:, :-1]).mean(),
        }
        for name, value in expected.items():
            assert parts[name][row] == pytest.approx(value, rel=1e-4), name
        whole = 3 * expected["style"] + 0.5 * expected["content"] + 2 * expected["variation"]
        assert total[row] == pytest.approx(whole, rel=1e-4)


def test_style_does_not_see_places_and_content_does(net):
    criterion = loss(style=("stem",))
    content = photos(1)
    order = np.random.default_rng(4).permutation(48)
    shuffled = content.reshape(1, 48, 3)[:, order].reshape(content.shape)
    _, parts = criterion(shuffled, content, constants(criterion, net, content))
    assert parts["style"][0] < 1e-12
    assert parts["content"][0] > 1e-3
    total, parts = criterion(content, content, constants(criterion, net, content))
    assert [float(parts[name][0]) for name in ("style", "content")] == [0.0, 0.0]
    assert total[0] == 0.0


def test_each_picture_of_a_batch_has_the_loss_it_has_alone(net):
    criterion = loss(variation_weight=0.3)
    pictures, content = photos(3, seed=5), photos(3, seed=6)
    fixed = constants(criterion, net, photos(2, seed=7))
    whole, _ = criterion(pictures, content, fixed)
    alone = [criterion(pictures[i : i + 1], content[i : i + 1], fixed)[0][0] for i in range(3)]
    np.testing.assert_allclose(whole, alone, rtol=1e-5)


def test_several_styles_are_their_weighted_mean(net):
    styles = photos(2, seed=8)
    known = constants(loss(), net, styles)
    targets = loss(blend=(1.0, 3.0)).targets(known)
    for layer in ("stem", "stage1"):
        one, other = known["grams"][layer]
        np.testing.assert_allclose(targets[layer], (one + 3 * other) / 4, rtol=1e-5)
        np.testing.assert_allclose(loss(blend=(0.0, 2.0)).targets(known)[layer], other, rtol=1e-6)
        np.testing.assert_allclose(loss().targets(known)[layer], (one + other) / 2, rtol=1e-5)
    with pytest.raises(ValueError, match=r"blend=\(1.0,\): expected 2, one a style"):
        loss(blend=(1.0,)).targets(known)


def test_a_layer_that_is_not_there_is_named(net):
    with pytest.raises(ValueError, match="layer='stage9': expected one of stem, stage1"):
        loss(content="stage9").features(net, photos())


def test_smoothings():
    x = jnp.asarray(np.random.default_rng(9).normal(size=(2, 3, 4, 5)).astype(np.float32)) * 8
    np.testing.assert_array_equal(Plain()("stem", x), x)
    whole = SoftmaxAll()("stem", x)
    np.testing.assert_allclose(whole.mean((1, 2, 3)), 1.0, rtol=1e-5)
    expected = np.exp(np.asarray(x, np.float64))
    expected /= expected.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(whole, expected, rtol=1e-4)
    np.testing.assert_allclose(SoftmaxAll()("stem", x + 100), whole, rtol=1e-4)
    np.testing.assert_allclose(SoftmaxChannels()("stem", x).sum(-1), 1.0, rtol=1e-5)
    # Hotter is smoother.
    assert SoftmaxAll(100.0)("stem", x).max() < 0.1 * whole.max()
    # A picture of another size, with the same features, has the same style.
    wide = jnp.concatenate([x, x], 2)
    np.testing.assert_allclose(gram(SoftmaxAll()("stem", wide)), gram(whole), rtol=1e-4)
    deep = Scaled(0.5, ("stage2",))
    np.testing.assert_array_equal(deep("stage2", x), 0.5 * x)
    np.testing.assert_array_equal(deep("stem", x), x)
    assert set(SMOOTHINGS) == set(typing.get_args(SmoothingName))


def test_a_loss_can_be_a_key_and_has_its_smoothing_in_its_equality():
    assert hash(loss()) == hash(loss())
    assert loss() == loss()
    assert loss(smoothing=SoftmaxAll()) != loss()


def test_total_variation():
    flat = np.full((1, 4, 4, 3), 0.7, np.float32)
    assert variation(jnp.asarray(flat)) == 0.0
    stripes = np.zeros((1, 4, 6, 3), np.float32)
    stripes[:, :, ::2] = 1.0
    assert variation(jnp.asarray(stripes)) == 1.0  # every neighbour to the right differs by 1
    np.testing.assert_array_equal(variation(jnp.ones((2, 1, 1, 3))), [0.0, 0.0])
    assert variation(jnp.asarray(stripes[:, :1])) == 1.0


def test_colour_is_kept():
    content, styled = photos(1, seed=10) * 0.2 + 0.4, photos(1, seed=11) * 0.2 + 0.4
    result = with_colour_of(content, styled)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(result @ weights, styled @ weights, atol=1e-6)
    colour = content - (content @ weights)[..., None]
    np.testing.assert_allclose(result - np.asarray(result @ weights)[..., None], colour, atol=1e-6)
    plain = grey(jnp.asarray(content))
    np.testing.assert_allclose(plain[..., 0], content @ weights, atol=1e-6)
    np.testing.assert_array_equal(plain[..., 0], plain[..., 2])
    white = with_colour_of(np.ones((1, 2, 2, 3), np.float32), np.ones((1, 2, 2, 3), np.float32))
    assert white.min() > 1 - 1e-6
    assert white.max() <= 1
