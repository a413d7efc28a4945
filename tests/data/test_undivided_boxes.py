"""Folders of boxes without a validation split, and images without annotations."""

import logging
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.sources.box_splits import with_validation
from jresnet.data.sources.box_table import Rows
from jresnet.data.sources.boxes import Boxes
from jresnet.errors import UsageError
from tests.data import box_folders
from tests.data.box_folders import BOXES, UNDIVIDED


@pytest.mark.parametrize("make", UNDIVIDED, ids=lambda make: make.__name__)
def test_a_share_of_an_undivided_set_is_kept_for_validation_and_told(tmp_path, make, caplog):
    with caplog.at_level(logging.WARNING):
        boxes = Boxes(make(tmp_path))
        info = boxes.info()
    assert (info.sizes["train"], info.sizes["val"], info.sizes["test"]) == (3, 1, 1)
    told = [line for line in caplog.messages if "1 of its 4 images, drawn by name" in line]
    assert len(told) == 1
    names = {}
    for split in ("train", "test"):
        source = boxes.open(split, encoded=True)
        names[split] = [name.rpartition("/")[2][0] for name in source.table.names]
        for name, example in zip(names[split], source, strict=True):
            expected = np.array([box for _, box in BOXES[name]]).reshape(-1, 4)
            np.testing.assert_allclose(example["boxes"], expected, atol=1e-4)
            labels = [info.class_names[label] for label in example["class"]]
            assert labels == [label for label, _ in BOXES[name]]
    assert sorted(names["train"] + names["test"]) == list("abcd")
    assert names["test"] == ["d"]  # by name alone: the same in every layout


def test_more_images_leave_most_others_where_they_were():
    def validation(count):
        rows = Rows(Path("x"), "line")
        for number in range(count):
            rows.image(f"{number}.jpg")
            rows.add(number, "cat", (0, 0, number + 1, 9), ("x.csv", number))
        splits, line = with_validation({"train": rows}, "x")
        assert f"{round(count / 5)} of its {count} images" in line
        train, val = splits["train"].table(["cat"], False), splits["val"].table(["cat"], False)
        for table in (train, val):  # each image keeps its object
            widths = table.boxes[:, 2]
            assert [f"{int(width) - 1}.jpg" for width in widths] == list(table.names)
        assert not set(train.names) & set(val.names)
        assert len(train.names) + len(val.names) == count
        return set(val.names)

    assert len(validation(100) & validation(110)) >= 17
    with pytest.raises(UsageError, match="1 images: expected at least 2, or a validation split"):
        validation(1)


def test_a_set_with_a_validation_or_test_split_stays():
    rows = Rows(Path("x"), "line")
    for other in ("val", "test"):
        splits = {"train": rows, other: rows}
        assert with_validation(splits, "x") == (splits, "")


def test_images_without_annotation_are_told(tmp_path, caplog):
    """Nobody has looked at an image without VOC's file; in YOLO it is one without objects."""
    folder = box_folders.voc(tmp_path / "voc")
    (folder / "Annotations" / "b.xml").unlink()
    source = Boxes(folder).open("train")
    assert source.table.names == ("JPEGImages/a.jpg", "JPEGImages/c.jpg")
    assert [line.rpartition(": image ")[2] for line in source.faults()] == [
        "b.jpg: has no XML file: left out"
    ]
    (folder / "Annotations" / "d.xml").unlink()  # answers of a whole split are withheld
    assert Boxes(folder).info().sizes["train"] == 1  # the other one is for validation
    assert any("'val' has no annotations: left out" in line for line in caplog.messages)
    caplog.clear()
    source = Boxes(box_folders.yolo(tmp_path / "yolo")).open("train")
    assert len(source) == 3
    assert any("1 of 3 images have no label file: taken as" in line for line in caplog.messages)


def test_one_file_of_coco_is_chosen_by_its_kind_and_two_alike_are_refused(tmp_path):
    folder = box_folders.cvat(tmp_path)
    path = folder / "annotations" / "person_keypoints_default.json"
    path.write_text((folder / "annotations" / "instances_default.json").read_text())
    assert Boxes(folder).info().sizes["train"] == 3
    (folder / "result.json").write_text(path.read_text())
    path.rename(folder / "annotations" / "instances_other.json")
    told = r"3 files of COCO's format, such as annotations/instances_default.json and annotations/"
    with pytest.raises(UsageError, match=told) as raised:
        Boxes(folder).info()
    assert "\n" not in str(raised.value)


def test_the_only_json_file_is_named_where_it_is_damaged(tmp_path):
    folder = box_folders.roboflow_undivided(tmp_path)
    (folder / "_annotations.coco.json").write_text("{")
    with pytest.raises(UsageError, match=r"_annotations\.coco\.json: not a readable JSON file"):
        Boxes(folder).info()
