"""Overlap, coder, clipping and anchors: torchvision's numbers, plain loops, boxes without area."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection import boxes
from jresnet.models.detection.anchors import cell_anchors, pyramid_anchors
from tests.models.detection import hard


def test_overlaps_are_torchvision_s(operators):
    case = operators["box_iou"]
    np.testing.assert_allclose(boxes.iou(case["a"], case["b"]), case["iou"], atol=1e-6)


def test_boxes_are_clipped_as_by_torchvision(operators):
    case = operators["box_iou"]
    right, bottom = case["clipped"][:, 2].max(), case["clipped"][:, 3].max()
    clipped = boxes.clip(case["clip_input"], jnp.asarray([bottom, right]))
    np.testing.assert_array_equal(clipped, case["clipped"])


@pytest.mark.parametrize("name", ["10_10_5_5", "1_1_1_1"])
def test_the_coder_is_torchvision_s(operators, name):
    case = operators[f"boxcoder_{name}"]
    weights = tuple(float(n) for n in name.split("_"))
    encoded = boxes.encode(case["gt"], case["proposals"], weights)
    np.testing.assert_allclose(encoded, case["encoded"], atol=1e-5)
    decoded = boxes.decode(case["deltas"], case["proposals"], weights)
    np.testing.assert_allclose(decoded, case["decoded"], rtol=1e-5, atol=1e-3)


def test_overlaps_of_thousands_of_hard_boxes():
    rng = np.random.default_rng(0)
    a, b = hard.hard_boxes(rng, 400, 3), hard.hard_boxes(rng, 400, 4)
    overlaps = np.asarray(jax.jit(jax.vmap(boxes.iou))(a, b))
    generalized = np.asarray(jax.jit(jax.vmap(boxes.generalized_iou))(a, b))
    for n, i, j in np.ndindex(overlaps.shape):
        wanted = hard.iou(a[n, i], b[n, j])
        assert abs(overlaps[n, i, j] - wanted) < 1e-6
        if wanted:
            low, high = np.minimum(a[n, i, :2], b[n, j, :2]), np.maximum(a[n, i, 2:], b[n, j, 2:])
            hull = hard.area([*low, *high])
            union = (hard.area(a[n, i]) + hard.area(b[n, j])) / (1 + wanted)
            assert abs(generalized[n, i, j] - (wanted - (hull - union) / hull)) < 1e-5


def test_decoding_undoes_encoding_and_boxes_without_area_give_zeros():
    rng = np.random.default_rng(1)
    truth, anchors = hard.hard_boxes(rng, 2000), hard.hard_boxes(rng, 2000)
    for weights in (boxes.RPN_WEIGHTS, boxes.ROI_WEIGHTS):
        deltas = np.asarray(boxes.encode(truth, anchors, weights))
        assert np.isfinite(deltas).all()
        whole = np.asarray(
            [hard.area(a) * hard.area(b) > 0 for a, b in zip(truth, anchors, strict=True)]
        )
        swapped = (truth[:, 2:] < truth[:, :2]).any(1) | (anchors[:, 2:] < anchors[:, :2]).any(1)
        whole &= ~swapped & np.isfinite(truth).all(1) & np.isfinite(anchors).all(1)
        assert 500 < whole.sum() < 2000
        back = np.asarray(boxes.decode(deltas, anchors, weights))
        np.testing.assert_allclose(back[whole], truth[whole], atol=1e-4)
        assert not deltas[~whole].any()


def test_gradients_of_the_coder_are_finite_without_area():
    flat = jnp.zeros((3, 4))
    for function in (lambda x: boxes.encode(x, flat), lambda x: boxes.encode(flat, x)):
        slope = jax.jit(jax.grad(lambda x, f=function: f(x).sum()))(flat)
        assert jnp.isfinite(slope).all()


def test_sizes_are_decoded_to_at_most_the_largest_factor():
    anchor = jnp.asarray([[10.0, 10.0, 26.0, 26.0]])
    wide = boxes.decode(jnp.asarray([[0.0, 0.0, 50.0, 50.0]]), anchor)
    np.testing.assert_allclose(wide, [[18 - 500, 18 - 500, 18 + 500, 18 + 500]], rtol=1e-5)


def test_anchors_are_torchvision_s(operators):
    sizes = [(32.0,), (64.0,), (128.0,), (256.0,), (512.0,)]
    for level, row in enumerate(sizes):
        np.testing.assert_array_equal(cell_anchors(row), operators["anchors_64"][f"base{level}"])
    compiled = jax.jit(pyramid_anchors, static_argnums=(0, 1, 2))
    square = compiled((64, 64), tuple((n, n) for n in (16, 8, 4, 2, 1)))
    np.testing.assert_array_equal(jnp.concatenate(square), operators["anchors_64"]["anchors"])
    maps = ((16, 24), (8, 12), (4, 6), (2, 3), (1, 2))
    wide = compiled((64, 96), maps, tuple(sizes))
    np.testing.assert_array_equal(jnp.concatenate(wide), operators["anchors_64x96"]["anchors"])
    with pytest.raises(ValueError, match="expected 5 entries, one a map"):
        pyramid_anchors((64, 96), maps, sizes[:2])


def test_the_coarsest_anchors_of_detectron2_are_64_pixels_apart():
    maps = tuple((800 // n, 1344 // n) for n in (4, 8, 16, 32))
    maps = (*maps, (13, 21))  # every other of 25 rows and 42 columns
    for rounded, step in ((False, 64), (True, 61)):  # of its p6, and 800 // 13
        anchors = np.asarray(pyramid_anchors((800, 1344), maps, rounded=rounded)[-1])
        middles = (anchors[:, :2] + anchors[:, 2:]).reshape(13, 21, 3, 2) / 2
        np.testing.assert_allclose(middles[:, 0, 0, 1], np.arange(13) * step, atol=1e-3)
        np.testing.assert_allclose(middles[0, :, 0, 0], np.arange(21) * 64, atol=1e-3)


def test_several_sizes_and_ratios_at_one_position():
    cells = cell_anchors((16, 32), (1.0, 4.0))
    np.testing.assert_array_equal(
        cells, [[-8, -8, 8, 8], [-16, -16, 16, 16], [-4, -16, 4, 16], [-8, -32, 8, 32]]
    )
