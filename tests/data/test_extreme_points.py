"""Extreme points of masks against a search over their pixels."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data import runs
from jresnet.data.augment.geometry import carry
from jresnet.data.augment.places import Flip
from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.extreme_points import MIRRORED, POINTS, ExtremePoints, extreme_points
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import FitWithBoxes
from jresnet.errors import UsageError
from tests.data import box_folders

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def test_each_point_is_a_pixel_of_the_mask_that_none_exceeds():
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = rng.random(rng.integers(1, 15, 2)) < rng.choice([0.1, 0.5, 1])
        points = extreme_points(runs.encode(mask), mask.shape[0])
        assert points.dtype == np.float32
        if not mask.any():
            assert not points.any()
            continue
        rows, columns = np.nonzero(mask)
        assert (points[:, 2] == 2).all()
        x, y = points[:, :2].T - 0.5
        assert mask[y.astype(int), x.astype(int)].all()
        assert [y[0], y[1], x[2], x[3]] == [rows.min(), rows.max(), columns.min(), columns.max()]
        for point, row in ((0, rows.min()), (1, rows.max())):
            among = columns[rows == row]
            assert abs(x[point] - among.mean()) == np.abs(among - among.mean()).min()
        for point, column in ((2, columns.min()), (3, columns.max())):
            among = rows[columns == column]
            assert abs(y[point] - among.mean()) == np.abs(among - among.mean()).min()


def test_a_mirror_image_s_points_are_those_of_the_mirrored_mask():
    mask = np.random.default_rng(0).random((12, 16)) < 0.2
    points, flipped = (extreme_points(runs.encode(one), 12) for one in (mask, mask[:, ::-1]))
    batch = {"keypoints": jnp.asarray(points[None, None])}
    warp = Flip(1.0)(jax.random.key(0), 1, (12, 16))
    moved = np.asarray(carry(batch, warp, mirrored=MIRRORED)["keypoints"][0, 0])
    for point, axis in enumerate((1, 1, 0, 0)):  # along the other axis ties may fall apart
        assert moved[point, axis] == flipped[point, axis]
    assert sorted(MIRRORED) == [0, 1, 2, 3]
    assert [POINTS[number] for number in MIRRORED] == ["top", "bottom", "right", "left"]


def test_ids_of_classes_are_those_of_the_set(tmp_path):
    boxes = Boxes(box_folders.coco(tmp_path))
    assert ExtremePoints(boxes).categories == boxes.categories
    assert len(boxes.categories) == 2
    assert ExtremePoints(ShapeObjects()).categories == ()


def test_the_nuclei_have_four_points_each():
    folder = SHARED / "nuclei"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    points = ExtremePoints(Boxes(folder))
    assert points.info().num_classes == 1
    assert points.largest("test") == (99, 175, 4)
    source = points.open("test", encoded=True)
    assert len(source) == 66
    assert (source.sizes() == 256).all()
    assert source.faults() == ()
    assert source.describe(0).endswith(".png")
    example = source[1]
    boxes, places = example["boxes"], example["keypoints"]
    np.testing.assert_array_equal(places[:, 0, 1] - 0.5, boxes[:, 1])
    np.testing.assert_array_equal(places[:, 1, 1] + 0.5, boxes[:, 3])
    np.testing.assert_array_equal(places[:, 2, 0] - 0.5, boxes[:, 0])
    np.testing.assert_array_equal(places[:, 3, 0] + 0.5, boxes[:, 2])
    decoded = points.open("test")[1]
    np.testing.assert_array_equal(decoded["keypoints"], places)
    arrays = FitWithBoxes((256, 256), limit=99, keypoints=4)(example, np.random.default_rng(0))
    np.testing.assert_array_equal(arrays["keypoints"][: len(boxes)], places)


def test_a_set_without_masks_has_no_extreme_points(tmp_path):
    points = ExtremePoints(Boxes(box_folders.voc(tmp_path)))
    with pytest.raises(UsageError, match="has no masks: expected a set with masks"):
        points.open("train")[0]
