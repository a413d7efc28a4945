"""The study of detectors: its nets, recipes, arguments, and whole runs on folders as people have them."""

import collections
import json

import numpy as np
import pytest

from experiments.detect import detect
from jresnet.__main__ import main
from jresnet.data.buckets import Bucketed
from jresnet.data.sources.extreme_points import MIRRORED
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import FitWithBoxes, RandomCropWithBoxes, RandomSideWithBoxes
from jresnet.errors import UsageError
from jresnet.models.headed import backbone_of
from jresnet.models.norms import BatchNorm
from jresnet.models.shortcuts import NoShortcut
from jresnet.recipes.detection import RECIPES
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.detection import threshold
from jresnet.studies.detection.nets import build, family
from jresnet.studies.detection.report import otsu_rows
from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.froc import Froc
from jresnet.train.optim import by_path
from tests.data.box_folders import (
    coco,
    coco_of_sizes,
    voc,
    voc_undivided,
    yolo,
    yolo_undivided,
)
from tests.test_experiments import defaults
from tests.train.detecting import detecting
from tests.train.test_program import compilations


def arguments(**changes):
    usual = {"depths": (8,), "steps": 2, "batch_size": 2}
    return {**defaults(detect), **usual, **changes}


def test_a_family_has_nets_and_twins():
    nets = family("small", 3, "boxes", 0, (8, 14), None, None, 50, True)
    assert list(nets) == ["small-8", "plain small-8", "small-14", "plain small-14"]
    assert backbone_of(nets["plain small-8"]).shortcut.layer is NoShortcut
    assert nets["small-14"].num_classes == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"net": "resnet50", "depth": 14}, "depth=14: expected none, net resnet50"),
        ({"net": "small", "version": 2}, "version=2: expected none, net small"),
        ({"net": "small", "norm": "group"}, "norm=group: expected none, net small"),
        ({"net": "cifar_resnet20", "norm": "group"}, "norm=group: expected none, net cifar"),
        ({"net": "cifar_resnet20", "depth": 20}, "depth=20: expected none, net cifar"),
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
    assert task.measured_by.sigmas == 0.107
    assert task.measured_by.keypoints.limits == (20, 100)  # as many count as of boxes
    asked = arguments(kind="keypoints", extreme_points=True, sigmas=(0.05, 0.05, 0.1, 0.1))
    task = detect(**asked).runs["small-8-seed0"].task
    assert task.measured_by.sigmas == (0.05, 0.05, 0.1, 0.1)
    with pytest.raises(UsageError, match=r"sigmas=.*: expected 4 numbers, one a keypoint"):
        detect(**asked | {"sigmas": (0.1, 0.2)})
    task = detect(**asked | {"keypoint_limit": 20}).runs["small-8-seed0"].task
    assert task.measured_by.keypoints.limits == (20,)
    with pytest.raises(UsageError, match=r"keypoint_limit=20: expected none, kind=boxes"):
        detect(**arguments(keypoint_limit=20))


def test_points_of_a_mirror_image_change_places_in_pairs():
    asked = arguments(kind="keypoints", extreme_points=True)
    task = detect(**asked | {"mirrored": (0, 1, 3, 2)}).runs["small-8-seed0"].task
    assert task.mirrored == (0, 1, 3, 2)
    for wrong in ((1, 0, 2, 9), (1, 0, 2), (1, 0), (1, 2, 3, 0), (0, 0, 2, 3)):
        with pytest.raises(UsageError, match=r"mirrored=[\d ]+: expected each number from 0 to 3"):
            detect(**asked | {"mirrored": wrong})
    for kind in ("boxes", "masks"):
        with pytest.raises(UsageError, match=f"mirrored=1 0: expected none, kind={kind} has no"):
            detect(**arguments(kind=kind, mirrored=(1, 0)))


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


def test_recipes_are_those_of_their_papers_by_default():
    fields = {"net": "resnet50", "depths": (), "plain": False}
    lsj = detect(**arguments(recipe="lsj_100", **fields)).runs["resnet50-seed0"]
    net = lsj.task.model
    assert backbone_of(net).norm.layer is BatchNorm
    assert dict(backbone_of(net).norm.fields).get("group") is None
    assert dict(net.rpn.fields)["convolutions"] == 2  # version 2
    assert lsj.start is None
    assert (lsj.task.beta, net.settings.after) == (0, (1000, 1000))
    assert (net.settings.rounded, net.settings.aligned) == (False, True)
    usual = detect(**arguments(norm="batch", **fields)).runs["resnet50-seed0"].task.model
    assert (usual.settings.rounded, usual.settings.aligned) == (True, False)  # torchvision's
    with pytest.raises(UsageError, match="weights=None: expected a checkpoint, the norms of net"):
        detect(**arguments(recipe="1x", **fields))
    with pytest.raises(UsageError, match="depths=8: expected none, net resnet50 has no choice"):
        detect(**arguments(net="resnet50", norm="batch"))
    params = {"norm1": {"scale": 1, "bias": 1}, "conv": {"kernel": 1, "bias": 1}}
    for name, decays in (("1x", False), ("lsj_400", False), ("small", True)):
        chosen = by_path(params, RECIPES[name].decay)
        assert chosen["norm1"] == {"scale": decays, "bias": decays}
        assert chosen["conv"] == {"kernel": True, "bias": True}


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
        net = build("small", 3, kind, 4, depth=8)
        assert (net.mask is not None, net.keypoint is not None) == (
            head == "mask",
            head == "keypoint",
        )


@pytest.mark.slow
def test_masks_train_from_start_to_report(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.detect.ShapeObjects", lambda: ShapeObjects(8, 6))
    inputs = arguments(kind="masks", plain=False, froc=True)
    line = run(detect, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    assert line.startswith("small-8 has a box AP50 of")
    result = json.loads((tmp_path / "run" / "small-8-seed0" / "result.json").read_text())
    test = result["metrics"]["test"]
    assert 0 <= test["ap50"] <= 1
    assert np.isfinite([test["loss"], test["loss/objectness"], test["froc"]]).all()
    assert 0 <= test["mask/ap50"] <= 1
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Average precision by COCO" in page
    assert page.count("<img") >= 3


def test_otsu_s_threshold_parts_two_levels():
    rng = np.random.default_rng(0)
    dark, bright = rng.normal(100, 20, 3000), rng.normal(160, 20, 1000)
    image = np.concatenate([dark, bright]).round().clip(0, 255).astype(np.uint8).reshape(40, 100)
    levels = np.arange(256)
    # The same by its definition: the variance within both classes is the smallest.
    within = [
        sum(part.size * part.var() for part in (image[image <= k], image[image > k]) if part.size)
        for k in levels
    ]
    assert np.isclose(within[threshold.otsu(image)], min(within))
    assert threshold.otsu(np.full((3, 3), 7, np.uint8)) in levels


def test_bright_regions_are_detections():
    image = np.zeros((20, 30), np.uint8)
    image[2:6, 3:9], image[10:18, 20:28], image[15, 2] = 200, 250, 255
    bright = threshold.regions(image)
    np.testing.assert_array_equal(bright.boxes, [[20, 10, 28, 18], [3, 2, 9, 6]])
    assert [part.area for part in bright.masks or ()] == [64, 24]
    assert bright.scores[0] > bright.scores[1]


def test_bright_regions_are_measured_where_they_make_sense(tmp_path):
    one = RECIPES["small"].data(ShapeObjects(8, 6, names=("shape",)), "masks")
    assert threshold.applies(one)
    assert not threshold.applies(RECIPES["small"].data(ShapeObjects(8, 6), "masks"))
    assert not threshold.applies(RECIPES["small"].data(ShapeObjects(8, 6, names=("a",)), "boxes"))
    large = ShapeObjects(8, 6, side=400, names=("shape",))  # scaled down to 256 x 256
    assert not threshold.applies(RECIPES["small"].data(large, "masks"))
    scores = threshold.measured(one, DetectionCollector(DetectionScores(), ("shape",)))
    assert 0 <= scores["mask/ap50"] <= 1
    (told,) = otsu_rows("masks", one, DetectionScores(froc=Froc()))
    assert 0 <= float(told[-2]) <= 100  # FROC, by the rules of the task
    assert told[:2] == ("Otsu's threshold", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [coco, voc, yolo, voc_undivided, yolo_undivided], ids=lambda make: make.__name__
)
def test_a_folder_as_people_have_it_trains_with_one_command(tmp_path, make, capsys):
    folder, out = make(tmp_path / "set"), tmp_path / "run"
    inputs = arguments(dataset=folder, plain=False, batch_size=2)
    line = run(detect, inputs, RunOptions(workdir=out, devices=1))
    assert line.startswith("small-8 has a box AP50 of")
    image = next(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    assert (
        main(["predict", str(out / "small-8-seed0"), str(image), "--out", str(tmp_path / "out")])
        == 0
    )
    assert image.name in capsys.readouterr().out
    entries = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert {tuple(entry) for entry in entries} <= {("image_id", "category_id", "bbox", "score")}
    assert len(list((tmp_path / "out").glob("*.png"))) == 1


@pytest.mark.slow
def test_an_epoch_of_mixed_sizes_compiles_a_program_a_bucket(tmp_path):
    sizes = [(20, 40), (40, 20), (30, 30), (16, 30), (60, 33), (50, 50)]
    inputs = {"dataset": coco_of_sizes(tmp_path / "set", sizes), "steps": 6}
    data = detecting(**inputs).runs["tiny"].data
    batches = [batch["image"].shape for batch, _ in zip(data.train(), range(6), strict=False)]
    assert set(batches) == {(2, 32, 64, 3), (2, 64, 32, 3), (2, 64, 64, 3)}
    with compilations() as names:
        run(detecting, inputs, RunOptions(workdir=tmp_path / "run", devices=1, pictures=0))
    counted = collections.Counter(names)  # of two epochs, and of two evaluations
    assert counted["train_step"] == counted["eval_step"] == 3


def test_crowded_images_have_more_proposals_in_evaluation_alone():
    few, many = (build("small", 1, "boxes", depth=8, most=most).settings for most in (50, 156))
    assert (few.before, few.after, few.detections) == ((300, 300), (150, 150), 50)
    assert (many.before, many.after, many.detections) == ((300, 936), (150, 468), 156)
