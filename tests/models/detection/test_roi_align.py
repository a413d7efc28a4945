"""RoIAlign in both forms: torchvision's numbers, a loop over samples, boxes without area."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection.roi_align import levels_of, roi_align

FORMS = ("gather", "einsum")
compiled = jax.jit(
    roi_align, static_argnums=(2, 3), static_argnames=("sampling", "aligned", "form")
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling", [2, None])
def test_values_are_torchvision_s(operators, sampling, aligned, form):
    case = operators[f"roi_align_sr{sampling or -1}_aligned{aligned:d}"]
    maps = jnp.moveaxis(jnp.asarray(case["x"]), 1, -1)
    for image in (0, 1):
        mine = case["rois"][:, 0] == image
        options = {"sampling": sampling, "aligned": aligned, "form": form}
        ours = compiled([maps[image]], case["rois"][mine, 1:], 7, (8.0,), **options)
        np.testing.assert_allclose(np.moveaxis(ours, -1, 1), case["y"][mine], atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_a_pyramid_is_read_as_by_torchvision(operators, form):
    case = operators["multiscale_roi_align"]
    maps = [jnp.moveaxis(jnp.asarray(case[f"map{n}"][0]), 0, -1) for n in range(4)]
    boxes, strides = jnp.asarray(case["boxes"]), (4.0, 8.0, 16.0, 32.0)
    np.testing.assert_array_equal(levels_of(boxes, strides), case["level"])
    ours = compiled(maps, boxes, 7, strides, form=form)
    np.testing.assert_allclose(np.moveaxis(ours, -1, 1), case["y"], atol=2e-5)


def bilinear(feature, y, x):
    rows, columns = feature.shape
    if not (-1 <= y <= rows and -1 <= x <= columns):
        return 0.0
    y, x = min(max(y, 0), rows - 1), min(max(x, 0), columns - 1)
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        weight = max(1 - abs(y - row), 0) * max(1 - abs(x - column), 0)
        if weight:
            total += weight * feature[row, column]
    return total


def expected(feature, box, output, stride, sampling, aligned):
    x1, y1, x2, y2 = (float(v) / stride - (0.5 if aligned else 0) for v in box)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1), max(height, 1)
    counts = [sampling or max(math.ceil(side / output), 1) for side in (height, width)]
    bins = np.zeros((output, output))
    for p, q in np.ndindex(bins.shape):
        values = [
            bilinear(
                feature,
                y1 + (p + (i + 0.5) / counts[0]) * height / output,
                x1 + (q + (j + 0.5) / counts[1]) * width / output,
            )
            for i, j in np.ndindex(*counts)
        ]
        bins[p, q] = np.mean(values)
    return bins


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling", [1, 2, None])
def test_hundreds_of_boxes_inside_outside_and_without_area(sampling, aligned):
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(6, 9)).astype(np.float32)
    low = rng.uniform(-8, 60, (250, 2))
    boxes = np.concatenate([low, low + rng.uniform(0, 40, (250, 2))], -1).astype(np.float32)
    boxes[:10, 2:] = boxes[:10, :2]  # no area
    wanted = [expected(feature, box, 3, 8, sampling, aligned) for box in boxes]
    for form in FORMS:
        options = {"sampling": sampling, "aligned": aligned, "form": form}
        ours = compiled([feature[..., None]], boxes, 3, (8.0,), **options)
        np.testing.assert_allclose(ours[..., 0], wanted, atol=5e-5)


def test_both_forms_have_the_same_gradient():
    rng = np.random.default_rng(1)
    maps = [jnp.asarray(rng.normal(size=(n, n, 2)), jnp.float32) for n in (16, 8)]
    low = rng.uniform(0, 50, (20, 2))
    boxes = jnp.asarray(np.concatenate([low, low + rng.uniform(50, 400, (20, 2))], -1), jnp.float32)
    assert set(levels_of(boxes, [8.0, 16.0]).tolist()) == {0, 1}

    def total(maps, form):
        return (roi_align(maps, boxes, 3, [8.0, 16.0], form=form) ** 2).sum()

    slopes = [jax.jit(jax.grad(total), static_argnums=1)(maps, form) for form in FORMS]
    for one, other in zip(*slopes, strict=True):
        assert jnp.abs(one).max() > 0.1
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_padded_boxes_are_read_without_harm():
    """Zeros, as padding has them, and boxes that are no numbers, choose a map that is there."""
    boxes = jnp.asarray([[0.0] * 4, [jnp.nan] * 4, [0, 0, 1e4, 1e4]])
    assert levels_of(boxes, [4.0, 8.0]).tolist() == [0, 0, 1]
    maps = [jnp.ones((4, 4, 1)), jnp.ones((2, 2, 1))]
    for form in FORMS:
        assert jnp.isfinite(compiled(maps, boxes, 2, (4.0, 8.0), form=form)[0]).all()


def test_levels_of_the_paper():
    sides = jnp.asarray([10.0, 111.9, 112.0, 223.9, 224.0, 448.0, 4000.0])
    boxes = jnp.stack([jnp.zeros(7), jnp.zeros(7), sides, sides], -1)
    assert levels_of(boxes, [4.0, 8.0, 16.0, 32.0]).tolist() == [0, 0, 1, 1, 2, 3, 3]
    assert levels_of(boxes, [1.0, 2.0, 4.0]).tolist() == [0, *[2] * 6]
