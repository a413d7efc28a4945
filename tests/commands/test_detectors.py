"""`predict` with published detectors' files: names, ids, drawings, and COCO's JSON of results."""

import json
from pathlib import PurePath

import numpy as np
import pytest

from jresnet.commands import published_nets as module
from jresnet.commands.detectors import Ids, detector, read_ids, with_categories
from jresnet.commands.trained import painter
from jresnet.data.coco_categories import COCO_CATEGORIES, categories_of
from jresnet.data.sources.boxes import Boxes
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.block import BOTTLENECK, BOTTLENECK_V1
from jresnet.models.headed import backbone_of
from jresnet.weights import files, to_torch
from jresnet.weights.detectors import DETECTRON2_RCNN, TORCHVISION_RCNN, TORCHVISION_RCNN_OLD
from jresnet.weights.nets import Loaded, Net, load_net
from tests.commands.conftest import write_image
from tests.data.box_folders import coco
from tests.models.tiny_detectors import calm_variables, tiny
from tests.nets import random_variables


def test_coco_s_classes_are_named_by_number():
    names, ids = categories_of(90)  # torchvision's: a class for each id
    assert (names[0], names[11], names[89]) == ("person", "12", "toothbrush")
    assert ids == tuple(range(1, 91))
    names, ids = categories_of(80)
    assert (names[0], names[79]) == ("person", "toothbrush")
    assert dict(zip(ids, names, strict=True)) == COCO_CATEGORIES
    assert len(set(COCO_CATEGORIES.values())) == 80
    assert categories_of(3) == (("1", "2", "3"), (1, 2, 3))
    assert categories_of(1, keypoints=True) == (("person",), (1,))
    assert categories_of(1) == (("1",), (1,))  # one class of anything
    one, points = (tiny(kind).clone(num_classes=2) for kind in ("faster", "keypoint"))
    assert detector(one, {}, "tiny").classes == ("1",)
    assert detector(points, {}, "tiny").classes == ("person",)


@pytest.mark.parametrize("layout", [TORCHVISION_RCNN, TORCHVISION_RCNN_OLD, DETECTRON2_RCNN])
def test_a_file_is_loaded_by_the_conventions_of_its_code_base(tmp_path, layout, caplog):
    net = tiny(branch=BOTTLENECK)
    files.save(to_torch(random_variables(net, (64, 64, 3)), net, layout), tmp_path / "x.npz")
    build = Net("tiny", lambda num_classes=91: net.clone(num_classes=num_classes), (64, 64, 3))
    loaded = load_net(build, {}, tmp_path / "x.npz")
    theirs = layout is DETECTRON2_RCNN
    model = loaded.model
    assert model.num_classes == 3
    assert (model.settings.rounded, model.settings.aligned) == (not theirs, theirs)
    assert backbone_of(model).branch == (BOTTLENECK_V1 if theirs else BOTTLENECK)
    epsilon = dict(backbone_of(model).norm.fields).get("epsilon", 1e-5)
    assert epsilon == (0.0 if layout is TORCHVISION_RCNN_OLD else 1e-5)
    assert not [line for line in caplog.messages if "its own nets have" in line]


def test_ids_of_a_set_in_coco_s_format(tmp_path):
    content = {
        "images": [{"file_name": "a.jpg", "id": 7}, {"file_name": "b/a.jpg", "id": 9}],
        "categories": [{"name": "cat", "id": 18}, {"name": "dog", "id": 3}],
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    ids = read_ids(tmp_path / "x.json")
    paths = ("in/b/a.jpg", "in/c/a.jpg", "in/c.jpg")
    assert [ids.image(PurePath(path)) for path in paths] == [9, 7, "in/c.jpg"]
    trained = detector(tiny(), {}, "tiny", ("dog", "cat"))
    assert trained.task.categories == (1, 2)
    assert with_categories(trained, ids).task.categories == (3, 18)
    with pytest.raises(UsageError, match="annotations: no category 'cow': expected all classes"):
        with_categories(detector(tiny(), {}, "tiny", ("cow", "cat")), ids)
    for key in ("x1", None, [2]):
        words = Ids(ids.images, {"dog": 3, "cat": key})
        with pytest.raises(UsageError, match=r"category 'cat' has the id .*: expected a number"):
            with_categories(trained, words)
    assert with_categories(trained, Ids({}, {"dog": 3, "cat": "18"})).task.categories == (3, 18)
    with pytest.raises(UsageError, match="annotations: expected none, the net is no detector"):
        with_categories(painter(zoo.johnson(), {}, "johnson"), ids)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UsageError, match=r"annotations='.*x\.json': expected COCO's JSON"):
        read_ids(tmp_path / "x.json")
    assert Ids({}, {}).image(PurePath("a")) == "a"


def test_a_run_keeps_the_ids_of_its_categories(tmp_path):
    path = next(coco(tmp_path).glob("annotations/*train*.json"))
    told = {one["name"]: one["id"] for one in json.loads(path.read_text())["categories"]}
    boxes = Boxes(tmp_path)
    assert boxes.categories == tuple(told[name] for name in boxes.names)


@pytest.mark.slow  # a detector compiles
def test_a_published_net_predicts_by_its_name(command, tmp_path, monkeypatch):
    net = tiny("mask")
    loaded = Loaded(net, calm_variables(net), TORCHVISION_RCNN, 3)
    monkeypatch.setattr(module, "load_net", lambda *_: loaded)
    write_image(tmp_path / "in" / "a.png", 1)
    categories = [{"name": "cat", "id": 18}, {"name": "dog", "id": 3}]
    content = {"images": [{"file_name": "a.png", "id": 7}], "categories": categories}
    (tmp_path / "x.json").write_text(json.dumps(content))
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    status, out, err = command(
        "predict", "maskrcnn_resnet50_fpn", "--weights", "x.pth", tmp_path / "in", "--resize", 64,
        "--out", tmp_path / "out", "--annotations", tmp_path / "x.json",
        "--labels", tmp_path / "names.txt",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert "a.png" in out
    entries = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert {entry["image_id"] for entry in entries} == {7}
    assert {entry["category_id"] for entry in entries} <= {18, 3}
    assert all(np.isfinite(entry["bbox"]).all() for entry in entries)
    assert "segmentation" in entries[0]
    assert len(list((tmp_path / "out").glob("*.png"))) == 1
    status, _, err = command(
        "predict", "maskrcnn_resnet50_fpn", "--weights", "x.pth", tmp_path / "in", "--crop", 64
    )
    assert status != 0
    assert "crop=64: expected none, net maskrcnn_resnet50_fpn detects objects" in err
