"""Detectors by the published recipes in miniature, and one that is killed and resumed."""

import numpy as np
import pytest

from jresnet.data.buckets import Bucketed
from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.extreme_points import MIRRORED, ExtremePoints
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import RandomCropWithBoxes
from jresnet.models.norms import BatchNorm
from jresnet.models.part import part
from jresnet.recipes.detection import RECIPES
from jresnet.runtime.mesh import make_mesh
from jresnet.train.loop import Plan, fit
from tests.data.box_folders import coco_of_sizes
from tests.models.tiny_detectors import tiny
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_second_floor import Dying, fields

PLAN = Plan(6, seed=1, eval_every=6, save_every=2, log_every=2)


def several_scales(folder):
    """Boxes in a COCO folder of mixed sizes, the shorter side drawn anew each step."""
    objects = Boxes(coco_of_sizes(folder, [(40, 20), (20, 40), (33, 60), (60, 33)]))
    recipe = RECIPES["1x"].changed(batch_size=2, size=(32, 64), sides=(16, 24, 32))
    data = recipe.data(objects, "boxes", threads=1)
    assert isinstance(data.train_transform, Bucketed)
    return recipe, tiny().clone(num_classes=objects.info().num_classes + 1), data


def large_scale_jitter(folder):
    """Masks, by jitter on squares, with norms of the whole batch."""
    recipe = RECIPES["lsj_100"].changed(batch_size=2, size=(32, 64), crop=32)
    data = recipe.data(ShapeObjects(8, 2, side=32), "masks", threads=1)
    assert isinstance(data.train_transform, RandomCropWithBoxes)
    return recipe, tiny("mask", norm=part(BatchNorm)).clone(num_classes=4), data


def keypoints(folder):
    """Four keypoints an object, which change places in mirror images, with norms of the batch."""
    recipe = RECIPES["small"].changed(batch_size=2)
    data = recipe.data(ExtremePoints(ShapeObjects(8, 2, side=32)), "keypoints", threads=1)
    return recipe, tiny("keypoint", points=4, norm=part(BatchNorm)).clone(num_classes=4), data


def train(built, folder, plan=PLAN, data=None, **task):
    recipe, net, usual = built
    experiment = recipe.changed(steps=plan.steps).experiment(net, usual, **task)
    mesh = make_mesh(1)
    return fit(experiment.task, experiment.optimizer, data or usual, plan, folder, "boxes", mesh)


@pytest.mark.slow
@pytest.mark.parametrize("make", [several_scales, large_scale_jitter])
def test_the_published_recipes_run_in_miniature(make, tmp_path):
    trained = train(make(tmp_path / "set"), tmp_path / "run", Plan(2, seed=1, eval_every=2))
    test = trained.metrics["test"]
    assert np.isfinite(list(test.values())).all()
    assert 0 <= test["ap50"] <= 1


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_bits(tmp_path):
    built = keypoints(tmp_path / "set")
    whole = train(built, tmp_path / "whole", mirrored=MIRRORED)
    dying = Dying(**fields(built[2]))
    with pytest.raises(Killed):
        train(built, tmp_path / "killed", data=dying, mirrored=MIRRORED)
    assert (tmp_path / "killed" / "checkpoints" / "2").is_dir()
    resumed = train(built, tmp_path / "killed", mirrored=MIRRORED)
    assert_bit_equal(resumed.state, whole.state)
    assert resumed.metrics == whole.metrics
    assert 0 <= whole.metrics["test"]["keypoint/ap50"] <= 1
