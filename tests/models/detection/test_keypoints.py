"""Keypoints in heat maps and out of them: torchvision's numbers, and there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.models.detection.keypoints import decode_heat_maps, heat_map_targets
from jresnet.models.detection.proposals import Proposals
from jresnet.models.detection.settings import Settings
from jresnet.models.detection.stages import Heads, last_stage


@pytest.mark.parametrize("size", [14, 56])
def test_targets_are_torchvision_s(masks_and_keypoints, size):
    case = masks_and_keypoints[f"keypoints_to_heatmap_{size}"]
    run = jax.jit(heat_map_targets, static_argnums=2)
    cells, counted = run(case["keypoints"], case["rois"], size)
    np.testing.assert_array_equal(counted, case["valid"])
    np.testing.assert_array_equal(cells, case["index"])


def test_places_are_torchvision_s(masks_and_keypoints):
    case = masks_and_keypoints["heatmaps_to_keypoints"]
    maps = jnp.moveaxis(jnp.asarray(case["maps"]), 1, -1)
    places, scores = jax.jit(lambda m, b: decode_heat_maps(m, b, 64))(maps, case["rois"])
    clear = case["gap"] > 1e-5
    assert clear.sum() > 20
    np.testing.assert_allclose(places[clear], case["keypoints"][clear][:, :2], atol=1e-4)
    np.testing.assert_allclose(scores, case["scores"], rtol=1e-5, atol=1e-5)


def test_a_thousand_points_come_back_to_within_a_cell():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 20, (500, 2))
    sides = rng.uniform(14, 40, (500, 2))  # smaller boxes have fewer pixels than the map cells
    boxes = jnp.asarray(np.concatenate([low, low + sides], -1), jnp.float32)
    points = low[:, None] + rng.uniform(0, 1, (500, 2, 2)) * sides[:, None]
    keypoints = jnp.asarray(np.concatenate([points, np.ones((500, 2, 1))], -1), jnp.float32)
    cells, counted = heat_map_targets(keypoints, boxes, 14)
    assert counted.all()
    maps = jax.nn.one_hot(cells, 196).reshape(500, 2, 14, 14).transpose(0, 2, 3, 1)
    places, _ = jax.jit(lambda m, b: decode_heat_maps(m, b, 40))(maps, boxes)
    apart = np.abs(np.asarray(places) - points) / sides[:, None]
    assert apart.max() < 1 / 14 + 1 / sides.min()
    assert np.median(apart) < 1 / 28


def test_boxes_without_area_and_points_that_are_no_numbers_do_not_count():
    boxes = jnp.asarray([[5.0, 5.0, 5.0, 9.0], [0.0] * 4, [0, 0, 8, 8]])
    keypoints = jnp.ones((3, 2, 3)) * 5
    keypoints = keypoints.at[2, 1].set(jnp.nan)
    cells, counted = heat_map_targets(keypoints, boxes, 14)
    assert counted.tolist() == [[False, False], [False, False], [True, False]]
    assert cells[~counted].tolist() == [0] * 5


def test_a_box_costs_what_its_own_size_costs():
    """The canvas is chosen box by box, a large one only by a large box; places are the same."""
    rng = np.random.default_rng(1)
    maps = jnp.asarray(rng.normal(size=(4, 14, 14, 2)), jnp.float32)
    boxes = jnp.asarray(
        [[3, 4, 20.5, 64], [0, 0, 64.5, 30], [9, 9, 210, 140], [5, 5, 5, 5]], jnp.float32
    )
    assert "cond[" in str(jax.make_jaxpr(lambda m, b: decode_heat_maps(m, b, 1344))(maps, boxes))
    bounds = [jax.jit(lambda m, b, n=n: decode_heat_maps(m, b, n))(maps, boxes) for n in (210, 700)]
    for first, second in zip(*bounds, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6)
    for place, box in zip(np.asarray(bounds[0][0])[:3], np.asarray(boxes), strict=False):
        assert (place >= box[:2]).all()
        assert (place <= box[2:]).all()


def test_boxes_of_several_images_cost_what_their_own_sizes_cost():
    rng = np.random.default_rng(2)
    maps = jnp.asarray(rng.normal(size=(2, 3, 14, 14, 2)), jnp.float32)
    low = rng.uniform(0, 40, (2, 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(8, 80, (2, 3, 2))], -1).astype(np.float32)
    proposals = Proposals(jnp.asarray(boxes), jnp.ones((2, 3), bool))

    def last(maps):
        logits = jnp.tile(jnp.asarray([0.0, 9.0]), (2, 3, 1))
        heads = Heads(lambda _: (logits, jnp.zeros((2, 3, 2, 4))), None, lambda _: maps)
        sizes = jnp.full((2, 2), 128.0)
        settings = Settings(detections=3, detection_iou=1.0)
        return last_stage(proposals, sizes, heads, settings, 128)

    assert "cond[" in str(jax.make_jaxpr(last)(maps))
    seen = jax.jit(last)(maps)
    assert seen.valid.all()
    for number in range(2):
        places, scores = decode_heat_maps(maps[number], seen.boxes[number], 128)
        np.testing.assert_allclose(seen.keypoints[number], places, rtol=1e-5)
        np.testing.assert_allclose(seen.keypoint_scores[number], scores, rtol=1e-5)
