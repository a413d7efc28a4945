"""Folders of images and boxes in every layout, and the real sets with their known counts."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jresnet.data import images, runs
from jresnet.data.info import Inspected, Measured
from jresnet.data.sources.box_masks import pack, polygons
from jresnet.data.sources.boxes import Boxes
from jresnet.errors import UsageError
from tests.data import box_folders
from tests.data.box_folders import BOXES, LAYOUTS, SIZE, content, picture, save, xml

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def shared(name):
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_every_layout_is_read(tmp_path, make):
    boxes = Boxes(make(tmp_path))
    info = boxes.info()
    assert info.class_names == ("cat", "dog")
    assert (info.class_of, info.image_shape) == ("box", (*SIZE, 3))
    assert {"train": 3, "val": 1, "test": 1}.items() <= info.sizes.items()
    for split, names in {"train": "abc", "val": "d", "test": "d"}.items():
        source = pickle.loads(pickle.dumps(boxes.open(split, encoded=True)))
        assert source.faults() == ()
        np.testing.assert_array_equal(source.sizes(), [SIZE] * len(names))
        for name, example in zip(names, source, strict=True):
            assert images.header(example["image"]) == (*SIZE, 3)
            expected = np.array([box for _, box in BOXES[name]]).reshape(-1, 4)
            np.testing.assert_allclose(example["boxes"], expected, atol=1e-4)
            labels = [info.class_names[label] for label in example["class"]]
            assert labels == [label for label, _ in BOXES[name]]
            halved = 0.5 if "coco" in make.__name__ or make.__name__ == "roboflow" else 1
            area = (expected[:, 2:] - expected[:, :2]).prod(
                1
            ) * halved  # COCO's own where it has it
            np.testing.assert_allclose(example["area"], area, rtol=1e-4)
            assert not example["crowd"].any()
            assert "runs" not in example
            types = {name: example[name].dtype for name in ("boxes", "class", "crowd", "area")}
            assert list(types.values()) == [np.float32, np.int32, bool, np.float32]
    assert boxes.largest("train") == (2, 0, 0)
    decoded = boxes.open("train")[0]["image"]
    assert (decoded.shape, decoded.dtype) == ((*SIZE, 3), np.uint8)
    assert isinstance(boxes.open("train"), Inspected)
    assert isinstance(boxes.open("train"), Measured)
    with pytest.raises(UsageError, match="split='x': expected one of train, val"):
        boxes.open("x")


def test_a_folder_of_something_else_is_refused(tmp_path):
    message = "no images with boxes; expected annotations/instances_train2017.json.*VOC.*YOLO.*csv"
    with pytest.raises(UsageError, match=message):
        Boxes(tmp_path).info()
    with pytest.raises(UsageError, match="no such folder"):
        Boxes(tmp_path / "none").info()


def test_corners_of_voc_begin_at_1_and_are_inside(tmp_path):
    folder = box_folders.voc(tmp_path)
    note = (folder / "Annotations" / "a.xml").read_text()
    assert "<xmin>3</xmin><ymin>4</ymin><xmax>12</xmax><ymax>9</ymax>" in note
    box = Boxes(folder).open("train")[0]["boxes"][0]
    assert box.tolist() == [2, 3, 12, 9]  # columns 3 to 12, counted from 1: 10 of them


def test_difficult_objects_of_voc_count_for_nothing_or_as_others(tmp_path):
    folder = box_folders.voc(tmp_path)
    xml(folder / "Annotations" / "a.xml", BOXES["a"], difficult=(1,))
    assert Boxes(folder).open("train")[0]["crowd"].tolist() == [False, True]
    kept = Boxes(folder, difficult_is_crowd=False)
    assert not kept.open("train")[0]["crowd"].any()


def test_trainval_of_voc_is_a_split(tmp_path):
    boxes = Boxes(box_folders.voc(tmp_path))
    assert boxes.info().sizes == {"train": 3, "val": 1, "trainval": 4, "test": 1}
    assert [Path(boxes.open("trainval").describe(i)).stem for i in range(4)] == list("abcd")


def test_trainval_of_voc_is_trained_on_where_it_has_no_train(tmp_path):
    folder = box_folders.voc(tmp_path)
    lists = folder / "ImageSets" / "Main"
    (lists / "train.txt").unlink()
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    assert "train" not in Boxes(folder).info().sizes  # images of val would be trained on
    (lists / "val.txt").rename(lists / "test.txt")
    boxes = Boxes(folder)
    assert boxes.info().sizes == {"train": 3, "test": 1}
    assert [Path(boxes.open("train").describe(i)).stem for i in range(3)] == list("abc")


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_objects_of_classes_that_are_not_named_are_left_out_and_told(tmp_path, make):
    boxes = Boxes(make(tmp_path), ("dog",))
    source = boxes.open("train")
    assert [len(source[i]["boxes"]) for i in range(3)] == [1, 0, 0]
    assert boxes.info().class_names == ("dog",)
    assert len(source.faults()) == 2
    assert all("class 'cat': expected one that the set has" in line for line in source.faults())


def test_classes_that_no_object_has_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"^classes=cta dgo: expected some of cat, dog$"):
        Boxes(box_folders.coco(tmp_path), ("cta", "dgo")).info()


def test_sparse_ids_of_categories_are_numbered_in_their_order(tmp_path):
    boxes = Boxes(box_folders.coco(tmp_path))
    assert boxes.info().class_names == ("cat", "dog")  # 7 and 90
    assert boxes.open("train")[0]["class"].tolist() == [0, 1]


def test_categories_of_another_file_go_by_their_names(tmp_path):
    folder = box_folders.coco(tmp_path)
    others = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    save(folder / "annotations" / "instances_val2017.json", content("d", others))
    assert Boxes(folder).open("val")[0]["class"].tolist() == [1]


MASK = np.zeros(SIZE, np.uint8)
MASK[3:9, 2:12] = 1
MASK[4, 5] = 0


@pytest.mark.parametrize("kind", ["polygons", "numbers", "string"])
def test_masks_of_coco_are_read_in_all_three_forms(tmp_path, kind):
    folder = box_folders.coco(tmp_path)
    lengths = runs.encode(MASK)
    square = [[2, 3, 12, 3, 12, 9, 2, 9]]
    stored = {
        "polygons": square,
        "numbers": {"size": SIZE, "counts": lengths.tolist()},
        "string": {"size": SIZE, "counts": runs.to_string(lengths)},
    }[kind]
    save(
        folder / "annotations" / "instances_train2017.json",
        content("abc", segmentation=stored, iscrowd=int(kind == "numbers"), area=None),
    )
    boxes = Boxes(folder)
    source = pickle.loads(pickle.dumps(boxes.open("train")))
    example = source[0]
    expected = MASK.copy()
    if kind == "polygons":
        expected[4, 5] = 1
    for one in example["runs"]:
        assert one.dtype == np.uint32
        np.testing.assert_array_equal(runs.decode(one, *SIZE), expected)
    assert example["area"].tolist() == [expected.sum()] * 2
    assert example["crowd"].tolist() == [kind == "numbers"] * 2
    assert boxes.largest("train") == (2, len(example["runs"][0]), 0)
    assert source[1]["runs"] == []
    assert "runs" not in Boxes(folder, masks=False).open("train")[0]


def test_two_polygons_are_one_mask(tmp_path):
    folder = box_folders.coco(tmp_path)
    parts = [[2, 3, 6, 3, 6, 9, 2, 9], [4, 3, 12, 3, 12, 9, 4, 9]]
    path = folder / "annotations" / "instances_train2017.json"
    save(path, content("abc", segmentation=parts))
    mask = runs.decode(Boxes(folder).open("train")[0]["runs"][0], *SIZE)
    expected = MASK.copy()
    expected[4, 5] = 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("relative", [False, True])
def test_the_longest_mask_is_known_without_drawing(relative):
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = (int(side) for side in rng.integers(4, 40, 2))
        masks = []
        for _ in range(rng.integers(1, 4)):
            lists = [rng.uniform(-8, 48, 2 * rng.integers(3, 7)) for _ in range(rng.integers(1, 3))]
            if relative:
                masks.append((True, [one / np.resize((width, height), len(one)) for one in lists]))
            else:
                masks.append(polygons(lists))
        if not relative:
            masks.append((False, [runs.encode(rng.random((height, width)) < 0.1)]))
        packed = pack(masks, relative)
        lengths = [len(packed.runs(row, height, width)) for row in range(len(masks))]
        bound = packed.longest(np.full(len(masks), width))
        assert max(lengths) <= bound


def test_the_bound_of_a_mask_inside_of_its_image_is_close():
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    for radius in np.linspace(2, 19, 40):
        corners = np.stack([20 + radius * np.cos(angle), 20 + radius * np.sin(angle)], 1)
        packed = pack([polygons([corners.reshape(-1).tolist()])], False)
        count = len(packed.runs(0, 40, 40))
        assert count <= packed.longest(np.array([40])) <= count + 4


def keypoint_folder(folder, points):
    categories = [{"id": 1, "name": "cat", "keypoints": ["nose", "tail"]}, {"id": 2, "name": "dog"}]
    stored = content("abc", categories)
    for one in stored["annotations"]:
        if one["category_id"] == 1:
            one["keypoints"] = points
    box_folders.coco(folder, kind="person_keypoints")
    save(folder / "annotations" / "person_keypoints_train2017.json", stored)
    return folder


def test_keypoints_lie_in_the_middle_of_their_pixel(tmp_path):
    boxes = Boxes(keypoint_folder(tmp_path, [4, 5, 2, 0, 0, 0]))
    example = boxes.open("train")[0]
    expected = [[[4.5, 5.5, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    np.testing.assert_array_equal(example["keypoints"], expected)
    assert boxes.open("train")[1]["keypoints"].shape == (0, 2, 3)
    assert boxes.largest("train") == (2, 0, 2)
    assert "keypoints" not in Boxes(tmp_path, keypoints=False).open("train")[0]


def test_keypoints_of_a_mirror_image_go_by_their_names(tmp_path):
    box_folders.coco(tmp_path)
    names = ["nose", "left_eye", "right_eye", "Left_Ear", "right_ear", "left_horn"]
    categories = [{"id": 1, "name": "cat", "keypoints": names}, {"id": 2, "name": "dog"}]
    save(tmp_path / "annotations" / "instances_train2017.json", content("abc", categories))
    assert Boxes(tmp_path).mirrored == (0, 2, 1, 4, 3, 5)
    assert Boxes(tmp_path, keypoints=False).mirrored is None
    assert Boxes(box_folders.voc(tmp_path / "voc")).mirrored is None


@pytest.mark.parametrize(
    ("names", "mirrored"),
    [
        (["L_Eye", "R_Eye", "Nose"], (1, 0, 2)),
        (["r_eye", "nose", "l_eye"], (2, 1, 0)),
        (["eye_l", "eye_r", "ear-R", "ear-L"], (1, 0, 3, 2)),
        (["LEye", "REye", "Rear"], (1, 0, 2)),
        (["hipL", "hipR", "hip"], (1, 0, 2)),
        (["left eye", "Right Eye"], (1, 0)),
        (["nose", "tail"], None),  # nothing tells whether sides are named otherwise
        (["left_eye", "nose"], None),
        (["1", "2"], None),
        (["left_eye", "left_eye", "right_eye"], None),  # two would give their places to one
    ],
)
def test_names_tell_sides_or_there_are_no_mirror_images(tmp_path, names, mirrored):
    box_folders.coco(tmp_path)
    categories = [{"id": 1, "name": "cat", "keypoints": names}, {"id": 2, "name": "dog"}]
    save(tmp_path / "annotations" / "instances_train2017.json", content("abc", categories))
    assert Boxes(tmp_path).mirrored == mirrored


def test_the_kind_of_coco_s_files_can_be_told(tmp_path):
    box_folders.coco(tmp_path)
    keypoint_folder(tmp_path, [4, 5, 2, 0, 0, 0])
    assert Boxes(tmp_path).largest("train")[2] == 0
    assert Boxes(tmp_path, kind="person_keypoints").largest("train")[2] == 2
    # Who wants keypoints and no masks, as `experiments.detect --kind keypoints`, gets those.
    assert Boxes(tmp_path, masks=False).largest("train")[2] == 2
    with pytest.raises(UsageError, match=r"keypoints=True: .* has none"):
        Boxes(tmp_path, keypoints=True).info()


def test_a_category_above_all_others_that_has_no_objects_is_no_class(tmp_path):
    folder = box_folders.roboflow(tmp_path)
    assert Boxes(folder).info().class_names == ("cat", "dog")
    path = folder / "train" / "_annotations.coco.json"
    stored = json.loads(path.read_text())
    stored["annotations"][0]["category_id"] = 0  # now it has one
    path.write_text(json.dumps(stored))
    assert Boxes(folder).info().class_names == ("animal", "cat", "dog")


def test_polygons_of_yolo_are_masks_and_their_hulls_boxes(tmp_path):
    folder = box_folders.yolo(tmp_path)
    corners = np.array([2, 3, 12, 3, 12, 9, 2, 9]) / np.resize(SIZE[::-1], 8)
    for name in "ac":
        line = " ".join(map(str, ["0", *corners]))
        (folder / "labels" / "train" / f"{name}.txt").write_text(line + "\n")
    (folder / "labels" / "val" / "d.txt").write_text(f"1 {box_folders.share((1, 1, 5, 5))}\n")
    boxes = Boxes(folder)
    example = boxes.open("train")[0]
    np.testing.assert_allclose(example["boxes"], [[2, 3, 12, 9]], atol=1e-5)
    assert example["area"].tolist() == [60]
    assert runs.decode(example["runs"][0], *SIZE)[3:9, 2:12].all()
    (line,) = boxes.open("val").faults()
    assert line.endswith("d.txt: line 1: it has no mask: expected one, as others have")
    without = Boxes(folder, masks=False)  # boxes alone: lines of either kind have one
    assert without.open("val").faults() == ()
    assert "runs" not in without.open("train")[0]
    np.testing.assert_allclose(without.open("train")[0]["boxes"], [[2, 3, 12, 9]], atol=1e-5)


def test_keypoints_of_yolo_are_shares_too(tmp_path):
    folder = box_folders.yolo_yaml(tmp_path)
    with (folder / "data.yaml").open("a") as file:
        file.write("kpt_shape: [2, 3]\n")
    for split, names in box_folders.SPLITS.items():
        for name in names:
            lines = [f"0 {box_folders.share(box)} 0.5 0.25 2 0 0 0\n" for _, box in BOXES[name]]
            (folder / split / "labels" / f"{name}.txt").write_text("".join(lines))
    points = Boxes(folder).open("train")[0]["keypoints"]
    np.testing.assert_allclose(points, [[[15, 5, 2], [0, 0, 0]]] * 2, atol=1e-5)
    assert Boxes(folder).mirrored is None
    for text, told in (("[1, 0]", None), ("[0, 0]", "flip_idx: expected each number from 0 to 1")):
        path = folder / "data.yaml"
        path.write_text(path.read_text().partition("flip_idx")[0] + f"flip_idx: {text}\n")
        if told is None:
            assert Boxes(folder).mirrored == (1, 0)
            continue
        with pytest.raises(UsageError, match=told):
            Boxes(folder).info()


def test_sizes_that_differ_are_no_shape(tmp_path):
    folder = box_folders.voc(tmp_path)
    picture(folder / "JPEGImages" / "d.jpg", (40, 30))
    xml(folder / "Annotations" / "d.xml", BOXES["d"], (40, 30))
    boxes = Boxes(folder)
    assert boxes.info().image_shape == (None, None, 3)
    np.testing.assert_array_equal(boxes.open("trainval").sizes()[-2:], [SIZE, (40, 30)])


def test_sizes_that_annotations_lack_are_those_of_the_headers(tmp_path):
    folder = box_folders.voc(tmp_path)
    xml(folder / "Annotations" / "a.xml", BOXES["a"], (0, 0))
    np.testing.assert_array_equal(Boxes(folder).open("train").sizes(), [SIZE] * 3)
    yolo = box_folders.yolo(tmp_path / "yolo")
    (yolo / "images" / "train" / "b.jpg").write_bytes(b"no image")
    sizes = Boxes(yolo).open("train").sizes()
    np.testing.assert_array_equal(sizes, [SIZE, (0, 0), SIZE])


def test_the_cells_have_as_many_boxes_as_they_are_known_to_have():
    boxes = Boxes(shared("bccd"))
    info = boxes.info()
    assert info.class_names == ("Platelets", "RBC", "WBC")
    assert info.image_shape == (480, 640, 3)
    assert info.sizes == {"train": 205, "val": 87, "trainval": 292, "test": 72}
    counts = np.zeros(3, int)
    for split in ("trainval", "test"):
        source = boxes.open(split, encoded=True)
        for index in range(len(source)):
            counts += np.bincount(source.objects(index, (480, 640))["class"], minlength=3)
    assert counts.tolist() == [361, 4155 - 2, 372]
    lines = boxes.open("trainval").faults()
    assert [line.partition(" has no area")[0] for line in lines] == [
        f"{SHARED}/bccd/Annotations/BloodImage_00338.xml: object 13: its box 504 337 504 337",
        f"{SHARED}/bccd/Annotations/BloodImage_00343.xml: object 4: its box 181 329 181 329",
    ]
    assert boxes.largest("trainval") == (30, 0, 0)


def test_the_nuclei_have_as_many_masks_and_they_are_those_of_the_maps():
    boxes = Boxes(shared("nuclei"))
    assert boxes.info().class_names == ("nucleus",)
    for split, count in (("train", 7677), ("test", 1866)):
        source = boxes.open(split, encoded=True)
        assert len(source.table.boxes) == count
        assert source.faults() == ()
        for index in range(0, len(source), 40):
            path = Path(source.describe(index))
            labels = np.asarray(Image.open(path.parents[1] / "labels" / path.name))
            example = source[index]
            assert len(example["runs"]) == len(np.unique(labels)) - 1
            for lengths, box, area in zip(
                example["runs"], example["boxes"], example["area"], strict=True
            ):
                mask = runs.decode(lengths, 256, 256).astype(bool)
                (number,) = np.unique(labels[mask])
                np.testing.assert_array_equal(mask, labels == number)
                np.testing.assert_array_equal(runs.bounds(lengths, 256), box)
                assert mask.sum() == area
    assert boxes.largest("test") == (99, 175, 0)
