"""Losses of detectors: torchvision's values and gradients, and pictures without objects."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection import masks as crops
from jresnet.models.detection.assignment import Assigned, Objects, assign_regions
from jresnet.models.detection.boxes import encode, iou
from jresnet.models.detection.keypoints import heat_map_targets
from jresnet.models.detection.matching import match
from jresnet.models.detection.proposals import Proposals
from jresnet.models.detection.sampling import Sample
from jresnet.models.detection.stages import Anchored, HeatMaps, Masks, Regions
from jresnet.tasks import detect_losses as losses
from tests.models.detection.conftest import masks_and_keypoints  # noqa: F401
from tests.models.tiny_detectors import calm_variables, objects, tiny
from tests.nets import normal


def close(ours, wanted):
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-6)


def assigned(positive, targets):
    positive = jnp.asarray(positive)
    rows = jnp.zeros(positive.shape, jnp.int32)
    return Assigned(Sample(rows, positive, jnp.ones_like(positive)), rows, jnp.asarray(targets))


@pytest.mark.parametrize("name", ["", "_image_without_object", "_no_positive"])
def test_region_losses_are_torchvision_s(masks_and_keypoints, name):  # noqa: F811
    case = masks_and_keypoints[f"fastrcnn_loss{name}"]
    classes = jnp.stack([case["labels0"], case["labels1"]])
    targets = np.stack([case["regression_targets0"], case["regression_targets1"]])

    def both(logits, deltas):
        logits, deltas = logits.reshape(2, 7, 5), deltas.reshape(2, 7, 5, 4)
        regions = Regions(
            jnp.zeros((2, 7, 4)), classes, logits, deltas, assigned(classes > 0, targets)
        )
        counted = jnp.ones((2, 7), bool)
        return (
            losses.classification_loss(logits, classes, counted),
            losses.region_box_loss(regions, counted),
        )

    inputs = jnp.asarray(case["class_logits"]), jnp.asarray(case["box_regression"])
    values, slopes = jax.jit(both)(*inputs), jax.jit(jax.jacrev(both, argnums=(0, 1)))(*inputs)
    for value, slope, key in zip(values, slopes, ("classifier", "box_reg"), strict=True):
        close(value, case[f"loss_{key}"])
        close(slope[0], case[f"dloss_{key}_dclass_logits"])
        close(slope[1], case[f"dloss_{key}_dbox_regression"])


@pytest.mark.parametrize("name", ["rpn_loss", "rpn_loss_no_object"])
def test_anchor_losses_are_torchvision_s(masks_and_keypoints, name):  # noqa: F811
    case, target = masks_and_keypoints[name], masks_and_keypoints["rpn_targets"]
    positive = jnp.asarray(case["sampled_positive"], bool)
    counted = positive | jnp.asarray(case["sampled_negative"], bool)
    targets = np.stack([target["targets0"], target["targets1"]])
    if name == "rpn_loss_no_object":
        targets[:] = -np.inf

    def both(logits, deltas):
        deltas = deltas.reshape(2, 128, 4)
        anchors = Anchored(logits.reshape(2, 128), deltas, assigned(positive, targets))
        return (
            losses.objectness_loss(anchors, counted),
            losses.box_loss(deltas, jnp.asarray(targets), positive, counted),
        )

    inputs = jnp.asarray(case["objectness"]), jnp.asarray(case["deltas"])
    values, slopes = jax.jit(both)(*inputs), jax.jit(jax.jacrev(both, argnums=(0, 1)))(*inputs)
    for value, slope, key in zip(values, slopes, ("objectness", "rpn_box_reg"), strict=True):
        close(value, case[f"loss_{key}"])
        close(slope[0], case[f"dloss_{key}_dobjectness"])
        close(slope[1], case[f"dloss_{key}_ddeltas"])


def test_anchors_are_labelled_as_by_torchvision(masks_and_keypoints):  # noqa: F811
    case = masks_and_keypoints["rpn_targets"]
    anchors = jnp.asarray(case["anchors"])
    for image in (0, 1):
        boxes = np.zeros((4, 4), np.float32)
        real = len(case[f"gt_boxes{image}"])
        boxes[:real] = case[f"gt_boxes{image}"]
        is_real = jnp.arange(4) < real
        matched = match(iou(boxes, anchors), is_real, low=0.3, high=0.7, allow_low_quality=True)
        labels = np.where(matched >= 0, 1, np.where(matched == -1, 0, -1))
        np.testing.assert_array_equal(labels, case[f"labels{image}"])
        boxes = boxes[np.maximum(matched, 0)]
        np.testing.assert_array_equal(boxes, case[f"matched_boxes{image}"])
        wanted = case[f"targets{image}"]
        finite = np.isfinite(wanted).all(1)
        close(np.asarray(encode(boxes, anchors))[finite], wanted[finite])


def test_regions_are_selected_as_by_torchvision(masks_and_keypoints):  # noqa: F811
    case = masks_and_keypoints["select_training_samples"]
    for image in (0, 1):
        proposals = jnp.asarray(case[f"proposals{image}"])
        boxes, classes = np.zeros((3, 4), np.float32), np.full(3, -1)
        real = len(case[f"gt_boxes{image}"])
        boxes[:real] = case[f"gt_boxes{image}"]
        classes[:real] = case[f"gt_labels{image}"] - 1
        true = Objects(jnp.asarray(boxes), jnp.asarray(classes))
        valid = jnp.ones(len(proposals), bool)
        rois, drawn = assign_regions(
            jax.random.key(0), Proposals(proposals, valid), true, size=64, share=0.5
        )
        rows = np.asarray(drawn.sample.rows)[drawn.sample.valid]
        order = np.argsort(rows)

        def ours(values, drawn=drawn, order=order):
            return np.asarray(values)[drawn.sample.valid][order]

        np.testing.assert_array_equal(ours(rois), case[f"out_proposals{image}"])
        np.testing.assert_array_equal(ours(drawn.matched), case[f"out_matched{image}"])
        positive = ours(drawn.sample.positive)
        labels = np.where(positive, classes[ours(drawn.matched)] + 1, 0)
        np.testing.assert_array_equal(labels, case[f"out_labels{image}"])
        close(ours(drawn.targets)[positive], case[f"out_targets{image}"][positive])


def both_images(case, name):
    return np.concatenate([case[f"{name}0"], case[f"{name}1"]])


def padded(values, count):
    """Rows of zeros below, which nothing may count."""
    shape = (count - len(values), *values.shape[1:])
    return jnp.asarray(np.concatenate([values, np.zeros(shape, values.dtype)]))


@pytest.mark.parametrize("name", ["", "_one_image_empty", "_no_positive"])
def test_mask_losses_are_torchvision_s(masks_and_keypoints, name):  # noqa: F811
    case = masks_and_keypoints[f"maskrcnn_loss{name}"]
    count = len(case["logits"])
    masks, labels = both_images(case, "masks"), both_images(case, "labels")
    second = len(case["masks0"])
    matched = np.concatenate([case["matched0"], case["matched1"] + second]).astype(int)
    boxes = padded(both_images(case, "proposals"), 9)
    targets = jax.jit(crops.mask_targets, static_argnums=3)(
        jnp.asarray(masks), boxes, padded(matched, 9), 14
    )
    counted = jnp.arange(9) < count
    classes = padded(labels[matched], 9)

    def loss(logits):
        chosen = logits[jnp.arange(9), classes]
        return losses.mask_loss(Masks(chosen, targets, counted), counted)

    value, slope = jax.jit(jax.value_and_grad(loss))(padded(case["logits"], 9))
    close(value, case["loss"])
    close(slope[:count], case["grad"])
    assert not slope[count:].any()


@pytest.mark.parametrize("name", ["", "_none_visible", "_no_positive"])
def test_keypoint_losses_are_torchvision_s(masks_and_keypoints, name):  # noqa: F811
    case = masks_and_keypoints[f"keypointrcnn_loss{name}"]
    count = len(case["logits"])
    matched = [case[f"keypoints{n}"][case[f"matched{n}"].astype(int)] for n in (0, 1)]
    keypoints = padded(np.concatenate(matched), 6)
    cells, seen = heat_map_targets(keypoints, padded(both_images(case, "proposals"), 6), 14)
    seen &= (jnp.arange(6) < count)[:, None]

    def loss(logits):
        maps = jnp.moveaxis(logits, 1, -1)
        return losses.keypoint_loss(HeatMaps(maps, cells, seen), seen)

    value, slope = jax.jit(jax.value_and_grad(loss))(padded(case["logits"], 6))
    close(value, case["loss"])
    close(slope[:count], case["grad"])
    assert not slope[count:].any()


def test_smooth_l1_is_torchvision_s(golden):
    from tests.models.detection.conftest import cases

    case = cases(golden / "detection_ops.npz")["smooth_l1"]
    difference = jnp.asarray(case["x"] - case["t"])
    close(losses.smooth_l1(difference, 1 / 9).sum(), case["beta_1_9"])
    close(losses.smooth_l1(difference, 1).sum(), case["beta_1"])
    close(losses.smooth_l1(difference, 0), jnp.abs(difference))


@functools.cache
def compiled(kind):
    """Losses by name and the gradient of their sum, of a tiny detector."""
    net = tiny(kind)
    variables = calm_variables(net)
    rest = {name: tree for name, tree in variables.items() if name != "params"}

    def value(params, x, true, images):
        output = net.apply({"params": params, **rest}, x, train=False, objects=true)
        named = losses.detection_losses(output.training, images)
        return sum(named.values()), named

    return variables["params"], jax.jit(jax.grad(value, has_aux=True))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mask", "keypoint"])
def test_images_without_objects_have_finite_losses(kind):
    params, run = compiled(kind)
    x, both = normal(2, 64, 64, 3), jnp.ones(2, bool)
    true = objects()
    usual = run(params, x, true, both)[1]
    assert set(usual) == {"objectness", "rpn_box", "class", "box", kind}
    assert all(value > 0 for value in usual.values())
    none = true._replace(classes=jnp.full_like(true.classes, -1))
    flat = true._replace(boxes=true.boxes.at[..., 2].set(true.boxes[..., 0]))
    for empty in (none, flat, none._replace(boxes=jnp.full_like(true.boxes, jnp.nan))):
        slopes, named = run(params, x, empty, both)
        assert all(jnp.isfinite(value) for value in named.values())
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
        assert named["objectness"] > 0
        assert named["class"] > 0
        assert named["rpn_box"] == named["box"] == named[kind] == 0
    slopes, named = run(params, x, true, jnp.zeros(2, bool))
    assert all(value == 0 for value in named.values())
    assert not any(leaf.any() for leaf in jax.tree.leaves(slopes))


def test_rows_that_are_no_images_count_for_nothing():
    params, run = compiled("mask")
    true = objects()
    x = normal(2, 64, 64, 3)
    one = jnp.asarray([True, False])
    named = run(params, x, true, one)[1]
    other = run(params, x.at[1].set(5.0), true, one)[1]
    for name, value in named.items():
        close(other[name], value)
