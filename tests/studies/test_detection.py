"""The study of detectors: its nets, recipes, arguments, and whole runs on folders as people have them."""

import json

import jax
import numpy as np
import pytest

from experiments.detect import detect
from jresnet.data.buckets import Bucketed
from jresnet.data.sources.extreme_points import MIRRORED
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import FitWithBoxes, RandomCropWithBoxes, RandomSideWithBoxes
from jresnet.errors import UsageError
from jresnet.models.headed import backbone_of
from jresnet.models.shortcuts import NoShortcut
from jresnet.recipes.detection import RECIPES
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.detection.nets import build, family, small
from tests.test_experiments import defaults


def arguments(**changes):
    usual = {"depths": (8,), "steps": 2, "batch_size": 2}
    return {**defaults(detect), **usual, **changes}


def test_a_family_has_nets_and_twins():
    nets = family("small", 3, "boxes", 0, (8, 14), 1, "frozen", 50, True)
    assert list(nets) == ["small-8", "plain small-8", "small-14", "plain small-14"]
    assert backbone_of(nets["plain small-8"]).shortcut.layer is NoShortcut
    assert nets["small-14"].num_classes == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "resnet50", "depth": 14}, "depth=14: expected none, net resnet50"),
        ({"net": "small", "depth": 9}, r"depth=9: expected 6n \+ 2"),
        ({"net": "resnet50", "kind": "keypoints", "version": 2}, "version=2: expected 1"),
    ],
)
def test_nets_refuse_arguments_that_they_lack(changes, message):
    fields = {"name": "small", "num_classes": 3, "kind": "boxes", "points": 2} | changes
    fields["name"] = fields.pop("net")
    with pytest.raises(UsageError, match=message):
        build(**fields)


def test_kinds_and_keypoints_are_checked_before_anything_trains():
    with pytest.raises(UsageError, match="kind=keypoints: 'shapes' has no keypoints"):
        detect(**arguments(kind="keypoints"))
    with pytest.raises(UsageError, match="kind=boxes: expected keypoints, with extreme_points"):
        detect(**arguments(extreme_points=True))
    study = detect(**arguments(kind="keypoints", extreme_points=True))
    task = study.runs["small-8-seed0"].task
    assert task.mirrored == MIRRORED
    assert task.mirror == (0.5, 0.0)  # top and bottom do not change places


def test_recipes_treat_images_as_published():
    shapes = ShapeObjects()
    once = RECIPES["1x"].data(shapes, "masks")
    assert isinstance(once.train_transform, Bucketed)
    for transform in once.train_transform.transforms:
        assert isinstance(transform, RandomSideWithBoxes)
        assert transform.sides == (640, 672, 704, 736, 768, 800)
        assert (transform.longest, transform.training, transform.cells) == (1333, True, 56)
    assert {one.size for one in once.eval_transform.transforms} == {
        (800, 1344), (1344, 800), (1056, 1056)
    }  # fmt: skip
    jitter = RECIPES["lsj_100"].data(shapes, "boxes").train_transform
    assert isinstance(jitter, RandomCropWithBoxes)
    assert (jitter.size, jitter.low, jitter.high) == ((1024, 1024), 0.1, 2.0)
    plan = {name: (one.steps, one.batch_size, one.learning_rate) for name, one in RECIPES.items()}
    assert plan["3x"] == (270_000, 16, 0.02)
    assert plan["lsj_400"] == (737_500, 64, 0.1)
    rate = RECIPES["1x"]._optimizer().learning_rate
    steps = (0, 500, 1000, 59_999, 60_001, 80_001)
    expected = (2e-5, 0.01001, 0.02, 0.02, 2e-3, 2e-4)
    np.testing.assert_allclose([rate(step) for step in steps], expected, rtol=1e-3)


def test_small_images_stay_and_rows_hold_the_fullest_image():
    data = RECIPES["small"].data(ShapeObjects(), "masks")
    for transform in (data.train_transform, data.eval_transform):
        assert isinstance(transform, FitWithBoxes)
        assert (transform.size, transform.limit, transform.cells) == ((64, 64), 8, 28)
    assert data.train_transform.training
    assert data.train_transform.runs is None
    assert data.eval_transform.runs == 129


def test_a_small_detector_has_heads_of_its_kind():
    for kind, head in (("boxes", None), ("masks", "mask"), ("keypoints", "keypoint")):
        net = small(3, kind, 4, 8)
        assert (net.mask is not None, net.keypoint is not None) == (
            head == "mask",
            head == "keypoint",
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["boxes", "masks", "keypoints"])
def test_every_kind_trains_from_start_to_report(tmp_path, kind, monkeypatch):
    monkeypatch.setattr("experiments.detect.ShapeObjects", lambda: ShapeObjects(8, 6))
    inputs = arguments(kind=kind, plain=False, extreme_points=kind == "keypoints", froc=True)
    line = run(detect, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    assert line.startswith("small-8 has an AP50 of")
    result = json.loads((tmp_path / "run" / "small-8-seed0" / "result.json").read_text())
    test = result["metrics"]["test"]
    assert 0 <= test["ap50"] <= 1
    assert np.isfinite([test["loss"], test["loss/objectness"], test["froc"]]).all()
    if kind != "boxes":
        assert 0 <= test[f"{kind.removesuffix('s')}/ap50"] <= 1
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Average precision by COCO" in page
    assert page.count("<img") >= 3
    # An epoch of images of one size is one program.
    assert jax.tree.leaves(result)
