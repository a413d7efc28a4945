"""Faulty annotations: each is told by its file and number, counted, and left out of its image."""

import json
import re

import numpy as np
import pytest

from jresnet.data import runs
from jresnet.data.broken import BrokenExampleError
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.boxes import Boxes
from jresnet.data.with_boxes import FitWithBoxes
from jresnet.errors import UsageError
from tests.data import box_folders
from tests.data.box_folders import BOXES, SIZE, content, picture, save, xml

NAN = float("nan")
PATH = "annotations/instances_train2017.json"


def spoilt(folder, change, **fields):
    """COCO's set after `change(content)` of its training split."""
    box_folders.coco(folder)
    stored = content("abc", **fields)
    change(stored)
    save(folder / PATH, stored)
    return Boxes(folder)


def first(**fields):
    """Changes the first annotation, the cat in `a`; a field that is None goes."""

    def change(stored):
        one = stored["annotations"][0]
        one.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del one[name]

    return change


SQUARE = [[2, 3, 12, 3, 12, 9, 2, 9]]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"bbox": [2, 3, 0, 6]}, "its box 2 3 2 9 has no area"),
        ({"bbox": [2, 3, 10, -6]}, "its box 2 3 12 -3 has swapped corners"),
        ({"bbox": [40, 3, 10, 6]}, "its box 40 3 50 9 lies outside of its image"),
        ({"bbox": [-12, 3, 10, 6]}, "its box -12 3 -2 9 lies outside of its image"),
        ({"bbox": [2, NAN, 10, 6]}, "its box 2 nan 12 nan has corners that are not numbers"),
        ({"bbox": [2, 3, float("inf"), 6]}, "its box 2 3 inf 9 has corners that are not numbers"),
        ({"bbox": [2, 3, 10]}, "expected image_id, category_id, and bbox"),
        ({"bbox": None, "segmentation": None}, "expected image_id, category_id, and bbox"),
        ({"bbox": "x"}, "expected image_id, category_id, and bbox"),
        ({"image_id": 99}, "image 99: expected one that the file has"),
        ({"image_id": [1]}, "expected image_id, category_id, and bbox"),
        ({"category_id": 3}, "category 3: expected one that the file has"),
        ({"segmentation": None}, "it has no mask: expected one, as others have"),
        ({"segmentation": [[1, 2, 3, 4]]}, "its polygon has 2 points: expected at least 3"),
        ({"segmentation": [[1, 2, 3, 4, 5, NAN]]}, "its polygon is damaged"),
        ({"segmentation": {"size": SIZE, "counts": "0P"}}, "its compressed mask is damaged"),
        ({"segmentation": {"size": SIZE, "counts": "11"}}, "its mask has 2 pixels: expected 600"),
        ({"segmentation": {"size": [7, 9], "counts": [63]}}, "its mask is 7 x 9: expected 20 x 30"),
        ({"segmentation": {"size": SIZE, "counts": [600]}}, "its mask is empty"),
        ({"segmentation": {"size": SIZE, "counts": [-1, 601]}}, "its run lengths are damaged"),
        ({"segmentation": {"size": SIZE}}, "its segmentation: expected polygons, or run lengths"),
        ({"segmentation": 7}, "its segmentation: expected polygons, or run lengths"),
    ],
)
def test_a_faulty_annotation_is_named_and_left_out_of_its_image(tmp_path, caplog, fields, told):
    boxes = spoilt(tmp_path, first(**fields), segmentation=SQUARE)
    source = boxes.open("train")
    (line,) = source.faults()
    assert line.startswith(f"{tmp_path / PATH}: annotation 101: {told}")
    assert [len(source[index]["boxes"]) for index in range(3)] == [1, 0, 1]
    assert source[0]["class"].tolist() == [1]  # the dog stays
    assert [record.message for record in caplog.records] == [line]
    boxes.open("train", encoded=True)
    assert len(caplog.records) == 1  # told once


def test_many_faults_are_a_few_lines_and_their_number(tmp_path, caplog):
    def change(stored):
        stored["annotations"] *= 4
        for one in stored["annotations"]:
            one["bbox"] = [0, 0, 0, 0]

    boxes = spoilt(tmp_path, change)
    assert len(boxes.open("train").faults()) == 12
    assert len(caplog.records) == 6
    assert (
        caplog.records[-1].message == f"{tmp_path}: 12 faulty annotations of 'train' are left out"
    )


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([4, 5, 2], "has 1 keypoints: expected 2"),
        ([4, 5, 2, 1, 1, 3], "its keypoints: expected x, y, and 0, 1 or 2 for each"),
        ([4, NAN, 2, 1, 1, 1], "its keypoints: expected x, y, and 0, 1 or 2 for each"),
        (["x"] * 6, "expected image_id, category_id, and bbox"),
    ],
)
def test_faulty_keypoints_are_told(tmp_path, points, told):
    def change(stored):
        stored["categories"] = [
            {**one, "keypoints": ["nose", "tail"]} for one in stored["categories"]
        ]
        stored["annotations"][0]["keypoints"] = points

    source = spoilt(tmp_path, change).open("train")
    (line,) = source.faults()
    assert f"annotation 101: {told}" in line
    assert source[0]["keypoints"].shape == (1, 2, 3)


def drop_name(stored):
    del stored["images"][1]["file_name"]


def same_file(stored):
    stored["images"][1]["file_name"] = "a.jpg"


def same_id(stored):
    stored["images"][1]["id"] = 11


def outside(stored):
    stored["images"][1]["file_name"] = "../../secret.jpg"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (drop_name, "image 1: expected an id and a file_name: left out"),
        (same_file, "image 12: a.jpg is there twice: left out once"),
        (same_id, "image 11: b.jpg is there twice: left out once"),
        (outside, "image 12: file_name='../../secret.jpg': expected a file in the folder"),
    ],
)
def test_a_faulty_image_of_coco_is_told_and_left_out(tmp_path, change, told):
    source = spoilt(tmp_path, change).open("train")
    (line,) = source.faults()
    assert told in line
    assert [source.describe(index)[-5] for index in range(len(source))] == ["a", "c"]
    assert [len(example["boxes"]) for example in source] == [2, 1]


def test_annotations_of_an_image_that_is_left_out_go_with_it(tmp_path):
    def change(stored):
        stored["images"][2]["file_name"] = "a.jpg"

    source = spoilt(tmp_path, change).open("train")
    assert len(source) == 2
    assert len(source.faults()) == 2
    assert source.faults()[1].endswith("annotation 103: image 13: expected one that the file has")


@pytest.mark.parametrize(
    ("categories", "told"),
    [
        ([{"id": 7, "name": "horse"}], "category 7: is there twice: the first counts"),
        ([{"id": 8, "name": "cat"}], "category 8: name 'cat' is there twice: taken as one class"),
        ([{"name": "cow"}], "category 2: expected an id and a name"),
        ([7], "category 2: expected an id and a name"),
        ([{"id": [7], "name": "cow"}], "category 2: expected an id and a name"),
    ],
)
def test_faulty_categories_are_told(tmp_path, categories, told):
    def change(stored):
        stored["categories"] = [*stored["categories"], *categories]

    boxes = spoilt(tmp_path, change)
    (line,) = boxes.open("train").faults()
    assert line == f"{tmp_path / PATH}: {told}"
    assert boxes.info().class_names == ("cat", "dog")
    assert boxes.open("train")[0]["class"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", r"not a readable JSON file \(Expecting property name"),
        ("\xff", "not a readable JSON file"),
        ("[]", "expected COCO's format, with lists images, annotations, categories"),
        ('{"images": [], "annotations": []}', "expected COCO's format"),
        ("[" * 100_000, "not a readable JSON file"),
    ],
)
def test_a_file_of_all_annotations_that_is_damaged_ends_the_run(tmp_path, text, told):
    box_folders.coco(tmp_path)
    (tmp_path / PATH).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=rf"instances_train2017\.json: {told}"):
        Boxes(tmp_path).info()


def test_no_object_at_all_is_refused(tmp_path):
    box_folders.voc(tmp_path)
    for path in (tmp_path / "Annotations").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no boxes; expected at least one"):
        Boxes(tmp_path).info()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("<xmin>3</xmin>", "<xmin>x</xmin>", "its box is x 4 12 9: expected xmin ymin xmax ymax"),
        ("<xmin>3</xmin>", "", "its box is None 4 12 9: expected xmin ymin xmax ymax"),
        ("<xmin>3</xmin>", "<xmin>nan</xmin>", "its box nan 4 12 9 has corners that are not"),
        ("<xmin>3</xmin>", "<xmin>32</xmin>", "its box 32 4 12 9 has swapped corners"),
        ("<xmin>3</xmin>", "<xmin>13</xmin>", "its box 13 4 12 9 has swapped corners"),
        ("<name>cat</name>", "", "has no name: expected that of its class"),
    ],
)
def test_a_faulty_object_of_voc_is_told(tmp_path, old, new, told):
    folder = box_folders.voc(tmp_path)
    path = folder / "Annotations" / "a.xml"
    path.write_text(path.read_text().replace(old, new, 1))
    source = Boxes(folder).open("train")
    (line,) = source.faults()
    assert line.startswith(f"{path}: object 1: {told}")
    assert [len(example["boxes"]) for example in source] == [1, 0, 1]


def test_a_box_of_voc_may_be_one_pixel_wide_and_at_the_last_column(tmp_path):
    """Corners are inside: from 30 to 30 is the last of 30 columns."""
    folder = box_folders.voc(tmp_path)
    path = folder / "Annotations" / "a.xml"
    text = path.read_text().replace("<xmin>3</xmin>", "<xmin>30</xmin>", 1)
    path.write_text(text.replace("<xmax>12</xmax>", "<xmax>30</xmax>", 1))
    source = Boxes(folder).open("train")
    assert not source.faults()
    np.testing.assert_array_equal(source[0]["boxes"][0], (29, 3, 30, 9))


@pytest.mark.parametrize("masks", [None, False])
@pytest.mark.parametrize("kind", ["polygon", "runs"])
def test_an_annotation_without_a_box_has_that_of_its_mask(tmp_path, kind, masks):
    inside = np.zeros(SIZE, np.uint8)
    inside[3:9, 2:12] = 1
    lengths = {"size": list(SIZE), "counts": runs.encode(inside).tolist()}
    stored = SQUARE if kind == "polygon" else lengths
    boxes = spoilt(tmp_path, first(bbox=None, segmentation=stored), segmentation=SQUARE)
    source = Boxes(boxes.folder, masks=masks).open("train")
    assert not source.faults()
    np.testing.assert_allclose(source[0]["boxes"][0], BOXES["a"][0][1])
    assert ("runs" in source[0]) == (masks is None)


def test_annotations_that_are_there_twice_or_share_an_id_are_told(tmp_path, caplog):
    def change(stored):
        stored["annotations"].append(dict(stored["annotations"][0]))  # 101 again
        stored["annotations"][2]["id"] = 102  # that of another image

    source = spoilt(tmp_path, change).open("train")
    assert [len(example["boxes"]) for example in source] == [2, 0, 1]
    (line,) = source.faults()
    assert line.endswith("annotation 101: is there twice: left out once")
    assert any(
        "1 annotations have the id of another one, such as 102: all are taken" in line
        for line in caplog.messages
    )


def test_an_image_that_a_list_of_voc_names_twice_is_there_once(tmp_path):
    folder = box_folders.voc(tmp_path)
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\nb\na\nc\n")
    source = Boxes(folder).open("train")
    assert len(source) == 3
    assert source.faults() == (f"{folder}: image a: is there twice: left out once",)


def test_of_two_images_with_one_xml_file_the_second_is_left_out(tmp_path):
    folder = box_folders.voc_plain(tmp_path)
    picture(folder / "train" / "images" / "a.bmp")
    source = Boxes(folder).open("train")
    assert [source.describe(index)[-5:] for index in range(3)] == ["a.bmp", "b.png", "c.png"]
    assert source.faults() == (f"{folder}: image a: is there twice: left out once",)


def no_xml(folder):
    (folder / "Annotations" / "a.xml").write_text("<annotation><object>")


def no_image(folder):
    (folder / "JPEGImages" / "a.jpg").unlink()


def damaged(folder):
    (folder / "JPEGImages" / "a.jpg").write_bytes(b"no image")


def other_size(folder):
    picture(folder / "JPEGImages" / "a.jpg", (20, 31))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (no_xml, r"a\.xml: not a readable XML file \(no element found"),
        (no_image, r"a\.xml: has no partner: expected an image"),
        (damaged, r"a\.jpg: not a readable image"),
        (other_size, r"a\.jpg: is 20 x 31: expected 20 x 30, as its annotations say"),
    ],
)
def test_a_faulty_file_is_a_broken_example(tmp_path, spoil, told):
    folder = box_folders.voc(tmp_path)
    spoil(folder)
    source = Boxes(folder).open("train", encoded=True)
    with pytest.raises(BrokenExampleError, match=told):
        source[0]
    assert len(source) == 3
    assert len(source[2]["boxes"]) == 1


def test_a_mask_that_does_not_fit_an_image_of_unknown_size_is_a_broken_example(tmp_path):
    def change(stored):
        for one in stored["images"]:
            del one["width"]
        stored["annotations"][0]["segmentation"] = {"size": [7, 9], "counts": [3, 60]}

    boxes = spoilt(tmp_path, change, segmentation=SQUARE)
    source = boxes.open("train")
    with pytest.raises(BrokenExampleError, match=r"a\.jpg: its mask has 63 pixels: expected 600"):
        source[0]
    assert len(source[2]["runs"]) == 1
    assert boxes.largest("train")[0] == 2


def test_an_annotation_of_coco_whose_image_is_gone_is_a_broken_example(tmp_path):
    folder = box_folders.coco(tmp_path)
    (folder / "train2017" / "a.jpg").unlink()
    with pytest.raises(BrokenExampleError, match=r"a\.jpg: not a readable image .*No such file"):
        Boxes(folder).open("train")[0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 0.5 0.5 0 0.1", "its box 0.5 0.45 0.5 0.55 has no area"),
        ("0 0.5 0.5 -0.1 0.1", "its box 0.55 0.45 0.45 0.55 has swapped corners"),
        ("0 1.5 0.5 0.2 0.1", "its box 1.4 0.45 1.6 0.55 lies outside of its image"),
        ("0 nan 0.5 0.2 0.1", "its box nan 0.45 nan 0.55 has corners that are not numbers"),
        ("2 0.5 0.5 0.2 0.1", "class 2: expected 0 to 1"),
        ("-1 0.5 0.5 0.2 0.1", "class -1: expected 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.1", "class 0.5: expected 0 to 1"),
        ("cat 0.5 0.5 0.2 0.1", "'cat 0.5 0.5 0.2 0.1': expected a class and numbers"),
        ("0 0.5 0.5 0.2", "has 3 numbers after the class: expected cx cy w h, or 3 corners"),
        ("0 0.1 0.1 0.2 0.2 0.3 nan", "its polygon is damaged"),
    ],
)
def test_a_faulty_line_of_yolo_is_told(tmp_path, line, told):
    folder = box_folders.yolo(tmp_path)
    path = folder / "labels" / "train" / "a.txt"
    path.write_text(f"{line}\n\n{path.read_text()}")
    source = Boxes(folder).open("train")
    (fault,) = source.faults()
    assert fault.startswith(f"{path}: line 1: {told}")
    assert [len(example["boxes"]) for example in source] == [2, 0, 1]


def test_yolo_s_texts_without_an_image_and_images_of_one_name(tmp_path):
    folder = box_folders.yolo(tmp_path)
    (folder / "labels" / "train" / "x.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (folder / "labels" / "train" / "c.txt").write_bytes(b"\xff\xfe\xff")
    picture(folder / "images" / "train" / "a.png")
    source = Boxes(folder).open("train")
    (line,) = source.faults()
    assert line.endswith("image a.png: another image has the same text file: left out")
    assert len(source) == 4
    with pytest.raises(BrokenExampleError, match=r"c\.txt: not a readable text file"):
        source[2]
    with pytest.raises(BrokenExampleError, match=r"x\.txt: has no partner: expected an image"):
        source[3]


@pytest.mark.parametrize(
    "text", ["names: [a, a]", "names: 3", "nc: 2", "[1, 2]", "names: {1: a}", "a: [", "\0"]
)
def test_a_damaged_file_of_yolo_s_classes_ends_the_run(tmp_path, text):
    folder = box_folders.yolo_yaml(tmp_path)
    (folder / "data.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"data\.yaml: (expected YAML with names|class 'a' is)"):
        Boxes(folder).info()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a.jpg,2,3,2,9,cat", "its box 2 3 2 9 has no area"),
        ("a.jpg,12,3,2,9,cat", "its box 12 3 2 9 has swapped corners"),
        ("a.jpg,32,3,42,9,cat", "its box 32 3 42 9 lies outside of its image"),
        ("a.jpg,nan,3,42,9,cat", "its box nan 3 42 9 has corners that are not numbers"),
        ("a.jpg,2,3,12,,cat", "its box is ['2', '3', '12', '']: expected x1 y1 x2 y2"),
        ("a.jpg,2,3,12,9,", "has no class: expected one"),
        ("a.jpg,2,3,12,9", "has no class: expected one"),
        (",2,3,12,9,cat", "image='': expected a file in the folder of images"),
        ("/etc/x.jpg,2,3,12,9,cat", "image='/etc/x.jpg': expected a file in the folder of images"),
    ],
)
def test_a_faulty_line_of_a_table_is_told(tmp_path, line, told):
    folder = box_folders.tables(tmp_path)
    path = folder / "train.csv"
    path.write_text(f"{path.read_text()}{line}\n")
    source = Boxes(folder).open("train")
    (fault,) = source.faults()
    assert fault.startswith(f"{path}: line 6: {told}")
    assert [len(example["boxes"]) for example in source] == [2, 0, 1]


def test_tables_that_are_none_end_the_run(tmp_path):
    folder = box_folders.tables(tmp_path)
    (folder / "train.csv").write_text("image,label\na.jpg,cat\n")
    message = r"train\.csv: expected a column x1 or xmin or x_min or left, it has image, label"
    with pytest.raises(UsageError, match=message):
        Boxes(folder).info()
    for name in ("train.csv", "val.csv"):
        (folder / name).unlink()
    (folder / "annotations.csv").write_text("image,x1,y1,x2,y2,class\na.jpg,1,1,2,2,cat\n")
    with pytest.raises(UsageError, match="expected a column split, or a table for each split"):
        Boxes(folder).info()


def test_faults_are_among_the_broken_files_of_a_run(tmp_path):
    def change(stored):
        stored["annotations"][0]["bbox"] = [2, 3, 0, 6]

    boxes = spoilt(tmp_path, change)
    (tmp_path / "train2017" / "c.jpg").write_bytes(b"no image")
    fit = FitWithBoxes(SIZE, limit=3)
    data = ImageData(boxes, 2, 2, train_transform=fit, eval_transform=fit)
    batches = list(data.examples("train"))
    annotation, file = data.broken()
    assert "annotation 101: its box 2 3 2 9 has no area" in annotation
    assert re.search(r"c\.jpg: not a readable image", file)
    assert np.concatenate([batch["valid"] for batch in batches]).tolist() == [1, 1, 0, 0]
    assert [int((batch["class"] >= 0).sum()) for batch in batches[:1]] == [1]


def test_a_polygon_with_a_faulty_part_is_left_out_whole(tmp_path):
    parts = [*SQUARE, [1, 1, 2, 2]]
    source = spoilt(tmp_path, first(segmentation=parts), segmentation=SQUARE).open("train")
    assert len(source.faults()) == 1
    (lengths,) = source[0]["runs"]
    assert runs.area(lengths) == 60


def test_an_image_without_annotations_is_legal_in_every_layout(tmp_path):
    for make in box_folders.LAYOUTS:
        source = Boxes(make(tmp_path / make.__name__)).open("train")
        assert len(source[1]["boxes"]) == len(BOXES["b"]) == 0


def test_a_file_with_names_of_bytes_is_shown_on_one_line(tmp_path):
    def change(stored):
        stored["categories"].append({"id": 1, "name": "a\nb"})
        stored["categories"].append({"id": 2, "name": "a\nb"})

    (line,) = spoilt(tmp_path, change).open("train").faults()
    assert "\n" not in line
    assert json.dumps("a\nb")[1:-1] in line.replace("\\\\", "\\")


def test_an_xml_bomb_is_a_broken_example(tmp_path):
    folder = box_folders.voc(tmp_path)
    levels = "".join(f'<!ENTITY x{i} "{f"&x{i - 1};" * 10}">' for i in range(1, 12))
    path = folder / "Annotations" / "a.xml"
    path.write_text(
        f'<!DOCTYPE a [<!ENTITY x0 "xxxxxxxxxx">{levels}]><annotation>&x11;</annotation>'
    )
    with pytest.raises(BrokenExampleError, match="not a readable XML file"):
        Boxes(folder).open("train")[0]
    xml(path, BOXES["a"])
    assert len(Boxes(folder).open("train")[0]["boxes"]) == 2
