"""Folders of images and label maps in every layout, and all that people leave wrong in them."""

import io
import logging
import re

import numpy as np
import pytest
from PIL import Image

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import BrokenExampleError
from jresnet.data.buckets import Bucketed, smallest_that_holds
from jresnet.data.pipeline import ImageData
from jresnet.data.sources import label_maps
from jresnet.data.sources.known_maps import CITYSCAPES, COCO_STUFF, VOC
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.with_map import FitWithMap, RandomCropWithMap, placed
from jresnet.errors import UsageError
from tests.data.map_folders import (
    ade,
    beside,
    cityscapes,
    coco,
    halves,
    instances,
    label_map,
    many,
    picture,
    plain,
    voc,
)


@pytest.mark.parametrize(
    ("make", "options", "classes", "right"),
    [
        (plain, {}, ("0", "1"), 1),
        (ade, {"first": 1, "ignored": (0, 255), "classes": ("wall", "sky")}, ("wall", "sky"), 1),
        (coco, {}, COCO_STUFF, COCO_STUFF.index("bicycle")),
        (voc, {}, VOC, 1),
        (cityscapes, {}, CITYSCAPES, CITYSCAPES.index("car")),
    ],
    ids=["plain", "ade20k", "coco-stuff", "voc", "cityscapes"],
)
def test_every_layout_is_read(tmp_path, make, options, classes, right):
    maps = LabelMaps(make(tmp_path), **options)
    info = maps.info()
    assert info.class_names == classes
    assert info.image_shape == (8, 10, 3)
    assert info.class_of == "pixel"
    for split in ("train", "val", "test"):
        example = maps.open(split, encoded=True)[0]
        assert isinstance(example["image"], bytes)
        assert example["map"].shape == (8, 10)
        assert example["map"][5, 1] == 0
        assert example["map"][5, 8] == right
    if make in (voc, cityscapes):
        assert (example["map"][0] == IGNORED).all()
    with pytest.raises(UsageError, match="split='x': expected one of train, val"):
        maps.open("x")


def test_a_test_split_of_another_size_is_seen_before_anything_trains(tmp_path):
    plain(tmp_path)
    for name in "abc":
        picture(tmp_path / "val/images" / f"{name}.jpg", (16, 20))
        label_map(tmp_path / "val/labels" / f"{name}.png", halves((16, 20)))
    info = LabelMaps(tmp_path).info()
    assert info.image_shape == (None, None, 3)
    assert info.fixed_shape is None


def test_classes_of_known_sets_are_not_counted(tmp_path, monkeypatch, caplog):
    assert (len(COCO_STUFF), len(set(COCO_STUFF))) == (182, 182)
    # arXiv:1612.03716: 80 things and 91 stuff; values are the ids less one.
    assert [COCO_STUFF[value] for value in (0, 89, 91, 181)] == [
        "person", "toothbrush", "banner", "wood",
    ]  # fmt: skip
    folder = ade(tmp_path)
    heading = "Idx\tRatio\tTrain\tVal\tStuff\tName\n"
    lines = f"{heading}1\t0.2\t\t11\t3\t1\twall\n2\t0.1\t6\t1\t1\tsky, heaven\n"
    (folder / "objectInfo150.txt").write_text(lines)
    maps = LabelMaps(folder, first=1, ignored=(0, 255))
    with monkeypatch.context() as patch:
        patch.setattr(label_maps, "read_map", None)
        assert maps.info().class_names == ("wall", "sky")
    (folder / "objectInfo150.txt").write_text(lines.replace("\n2\t", "\n3\t"))
    with pytest.raises(UsageError, match="expected lines of a class's number, from 1 on"):
        LabelMaps(folder, first=1).info()
    monkeypatch.setattr(label_maps, "_MANY", 2)
    with caplog.at_level(logging.WARNING):
        assert LabelMaps(plain(tmp_path / "plain")).info().class_names == ("0", "1")
    assert any("all 3 maps are read to count its classes" in line for line in caplog.messages)


def test_augmented_maps_of_voc_come_first_and_bring_their_list(tmp_path):
    maps = LabelMaps(voc(tmp_path, augmented=True))
    assert maps.info().sizes == {"train": 2, "val": 1, "test": 1}
    train, test = maps.open("train"), maps.open("test")
    names = [train.describe(i).rpartition("/")[2] for i in range(2)]
    assert names == ["2007_1.jpg", "2007_3.jpg"]
    assert train.pairs[0][1].parent.name == "SegmentationClassAug"
    assert test.pairs[0][1].parent.name == "SegmentationClass"  # it has no augmented map
    for source in (train, test):
        assert set(np.unique(source[0]["map"])) == {0, 1, IGNORED}


def test_the_withheld_maps_of_cityscapes_are_not_tested_on(tmp_path):
    maps = LabelMaps(cityscapes(tmp_path))
    assert maps.info().sizes == {"train": 1, "val": 1, "test": 1}
    assert "bonn" in maps.open("test").describe(0)


@pytest.mark.parametrize("name", ["masks", "annotations", "maps"])
def test_maps_have_many_names(tmp_path, name):
    assert LabelMaps(plain(tmp_path, maps=name)).info().sizes["train"] == 3


@pytest.mark.parametrize(
    ("pictures", "maps", "ending"),
    [
        ("{}", "{}_labels", "_L"),  # CamVid of Kaggle
        ("{}", "{}annot", ""),  # CamVid of SegNet
        ("{}_images", "{}_masks", ""),
        ("Images/{}", "Masks/{}", "_segmentation"),
        ("{}/JPEGImages", "{}/SegmentationClass", "_GT"),
        ("{}", "{}", "_mask"),  # in one folder
        ("{}", "{}", "_seg"),
    ],
)
def test_pairs_as_people_name_them(tmp_path, pictures, maps, ending):
    dataset = LabelMaps(beside(tmp_path, pictures, maps, ending), classes=("dark", "bright"))
    assert dataset.info().sizes == {"train": 2, "val": 1, "test": 1}
    source = dataset.open("train")
    for index, (image, labels) in enumerate(source.pairs):
        assert labels.stem == f"{image.stem}{ending}"
        assert image.suffix == ".jpg"
        np.testing.assert_array_equal(source[index]["map"], halves())


def test_what_has_no_partner_in_one_folder_is_told(tmp_path):
    folder = beside(tmp_path, "{}", "{}", "_mask")
    label_map(folder / "train" / "z_mask.png", halves())
    picture(folder / "train" / "c.jpg")
    source = LabelMaps(folder, classes=("dark", "bright")).open("train")
    for index, told in ((2, "c.jpg: has no partner: expected a map"), (3, "expected an image")):
        with pytest.raises(BrokenExampleError, match=told):
            source[index]


def test_images_and_maps_in_one_folder_without_splits(tmp_path):
    for number in range(5):
        picture(tmp_path / f"{number}_sat.jpg")
        label_map(tmp_path / f"{number}_mask.png", halves())
    info = LabelMaps(tmp_path).info()
    assert (info.sizes["train"], info.sizes["test"], info.class_names) == (4, 1, ("0", "1"))


def test_cityscapes_with_the_numbers_of_its_classes_alone(tmp_path):
    cityscapes(tmp_path)
    path = tmp_path / "gtFine" / "train" / "ulm" / "1_gtFine_labelIds.png"
    path.unlink()
    labels = np.full((8, 10), CITYSCAPES.index("car"))
    labels[0] = IGNORED
    label_map(path.with_name("1_gtFine_labelTrainIds.png"), labels)
    maps = LabelMaps(tmp_path)
    assert maps.info().class_names == CITYSCAPES
    np.testing.assert_array_equal(maps.open("train")[0]["map"], labels)
    assert maps.open("val")[0]["map"][5, 8] == CITYSCAPES.index("car")  # by labelIds


def test_names_of_classes_are_the_lines_of_a_file(tmp_path):
    plain(tmp_path)
    (tmp_path / "classes.txt").write_text("left\nright\n")
    assert LabelMaps(tmp_path).info().class_names == ("left", "right")


def rgb_map(path):
    picture(path)


def wrong_size(path):
    label_map(path, halves((7, 10)))


def unknown_class(path):
    label_map(path, np.where(halves() == 1, 9, 0))


def all_ignored(path):
    label_map(path, np.full((8, 10), IGNORED))


def jpeg(path):
    picture(path, format="JPEG")


def fractions(path):
    Image.fromarray(np.full((8, 10), 0.5, np.float32)).save(path, format="TIFF")


def cut_off(path):
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (rgb_map, "005.png: not a readable map .an image of colours; expected a palette"),
        (wrong_size, r"005.png: its map is \(7, 10\): expected \(8, 10\), its image's size"),
        (unknown_class, "005.png: value 9 in the map: expected a class, 0 to 1"),
        (all_ignored, "005.png: its map has no class: expected one, every pixel is ignored"),
        (jpeg, "005.png: not a readable map .a JPEG, which changes values"),
        (fractions, "005.png: not a readable map .values that are not whole"),
        (cut_off, "005.png: not a readable map"),
        (lambda path: path.unlink(), "005.png: has no partner: expected a map"),
    ],
    ids=[
        "colours",
        "size",
        "class",
        "ignored",
        "jpeg",
        "fractions",
        "damaged",
        "missing",
    ],
)
def test_a_faulty_map_is_named_counted_and_not_trained_on(tmp_path, spoil, told, caplog):
    many(tmp_path)
    spoil(tmp_path / "train" / "labels" / "005.png")
    maps = LabelMaps(tmp_path, ("left", "right"))
    data = ImageData(
        maps, 200, eval_batch_size=40, train_transform=FitWithMap(), eval_transform=FitWithMap()
    )
    data.check()
    seen = [batch for batch in data.examples("train")]
    lost = np.concatenate([batch["broken"] for batch in seen])
    assert lost.sum() == 1
    assert np.concatenate([batch["valid"] for batch in seen]).sum() == 199
    batch = next(data.train())
    assert set(np.unique(batch["map"])) == {0, 1}
    (line,) = data.broken()

    assert re.search(told, line), line
    assert "\n" not in line


def test_an_image_that_is_missing_is_told_too(tmp_path):
    many(tmp_path)
    (tmp_path / "train" / "images" / "007.png").unlink()
    source = LabelMaps(tmp_path).open("train", encoded=True)
    with pytest.raises(BrokenExampleError, match=r"007\.png: has no partner: expected an image"):
        source[7]


def test_too_many_faulty_maps_end_the_run(tmp_path):
    plain(tmp_path)
    for name in ("a", "b"):
        rgb_map(tmp_path / "train" / "labels" / f"{name}.png")
    data = ImageData(
        LabelMaps(tmp_path), 1, train_transform=FitWithMap(), eval_transform=FitWithMap()
    )
    with pytest.raises(UsageError, match="2 of 3 files are broken"):
        list(data.examples("train"))


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no images with label maps; expected images and labels"):
        LabelMaps(tmp_path).info()
    with pytest.raises(UsageError, match="no such folder"):
        LabelMaps(tmp_path / "none").info()


def test_grey_values_in_three_channels_are_grey(tmp_path):
    plain(tmp_path)
    grey = np.repeat(halves()[..., None], 3, -1)
    Image.fromarray(grey).save(tmp_path / "train" / "labels" / "a.png")
    assert set(np.unique(LabelMaps(tmp_path).open("train")[0]["map"])) == {0, 1}


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.uint8, 7), (np.uint8, 255), (np.uint16, 40_000)]
)
def test_every_value_but_0_is_foreground(tmp_path, dtype, largest):
    maps = LabelMaps(instances(tmp_path, dtype, largest), foreground=True)
    info = maps.info()
    assert info.class_names == ("background", "foreground")
    assert info.image_shape == (8, 10, 1)
    for encoded in (False, True):
        arrays = FitWithMap()(maps.open("train", encoded)[0], np.random.default_rng(0))
        assert arrays["image"].shape == (8, 10, 3)
        assert arrays["map"].sum() == 6 + 8
        assert arrays["map"][2:4, 2:5].all()
        assert arrays["map"][5:7, 5:9].all()


def test_foreground_may_have_an_ignored_value_and_names(tmp_path):
    names = ("glass", "cell")
    maps = LabelMaps(instances(tmp_path, largest=255), names, (255,), foreground=True)
    assert maps.info().class_names == names
    labels = maps.open("test")[0]["map"]
    assert (labels == 1).sum() == 6
    assert (labels[5:7, 5:9] == IGNORED).all()
    with pytest.raises(
        UsageError, match="classes=a b c: expected two, of value 0 and of any other"
    ):
        LabelMaps(tmp_path, ("a", "b", "c"), foreground=True).info()


def test_masks_of_0_and_255_are_no_single_class(tmp_path):
    folder = plain(tmp_path)
    for path in folder.rglob("labels/*.png"):
        label_map(path, 255 * halves())
    with pytest.raises(UsageError, match=r"no class but 0; expected two or more.*--foreground"):
        LabelMaps(folder).info()
    assert LabelMaps(folder, foreground=True).info().num_classes == 2


def test_more_classes_than_a_map_can_hold_are_refused(tmp_path):
    instances(tmp_path, np.uint16, 300)
    with pytest.raises(UsageError, match="301 classes; expected at most 255"):
        LabelMaps(tmp_path).info()


CAMVID = "64 128 64\tAnimal\n192 0 128\t\tArchway\n0 0 0 \t Void\n"
KAGGLE = "name,r,g,b\nAnimal,64,128,64\nArchway, 192, 0, 128\nVoid,0,0,0\n"
CVAT = "# label:color_rgb:parts:actions\nAnimal:64,128,64::\nArchway:192,0,128::\nVoid:0,0,0::\n\n"
NUMBERED = "id,name,r,g,b\n0,Animal,64,128,64\n1,Archway,192,0,128\n2,Void,0,0,0\n"
COLOURS = np.array([(64, 128, 64), (192, 0, 128), (0, 0, 0)], np.uint8)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", CAMVID),
        ("class_dict.csv", KAGGLE),
        ("labelmap.txt", CVAT),
        ("classes.csv", NUMBERED),
    ],
)
def test_colours_are_read_by_a_table(tmp_path, name, text):
    plain(tmp_path)
    (tmp_path / name).write_text(text)
    labels = halves()
    labels[0] = 2
    folder = tmp_path / "train" / "labels"
    coloured = Image.fromarray(COLOURS[labels])
    coloured.save(folder / "a.png")
    coloured.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "b.png")
    Image.fromarray(labels).save(folder / "c.png")  # grey: the numbers themselves
    maps = LabelMaps(tmp_path, ignored=(2,))
    assert maps.info().class_names == ("Animal", "Archway", "Void")
    for index in range(3):
        expected = np.where(labels == 2, IGNORED, labels)
        np.testing.assert_array_equal(maps.open("train")[index]["map"], expected)


def test_an_unknown_colour_is_named(tmp_path):
    plain(tmp_path)
    (tmp_path / "label_colors.txt").write_text(CAMVID)
    pixels = COLOURS[halves()]
    pixels[0, :4] = 1, 2, 3
    Image.fromarray(pixels).save(tmp_path / "train" / "labels" / "a.png")
    message = (
        r"a\.png: not a readable map \(1 unknown colours on 5\.0% of its pixels, such as 1 2 3"
    )
    with pytest.raises(BrokenExampleError, match=message):
        LabelMaps(tmp_path).open("train")[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sky,0,0,0\nroad\n", "line 2, 'road'"),
        ("sky,0,0,256\n", "line 1, 'sky,0,0,256'"),
        ("sky,0,0,0\nroad,0,0,0\n", "line 2, 'road,0,0,0'"),
        ("name,r,g,b\n", "expected a class and its colour on each line"),
    ],
)
def test_a_table_that_is_wrong_is_told(tmp_path, text, line):
    plain(tmp_path)
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"classes\.csv: .*{line}"):
        LabelMaps(tmp_path).info()


def example(height, width):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    return {"image": image, "map": rng.integers(0, 4, (height, width))}


def test_an_image_lies_top_left_and_the_rest_is_ignored():
    arrays = FitWithMap((12, 15))(example(8, 10), np.random.default_rng(0))
    np.testing.assert_array_equal(arrays["image"][:8, :10], example(8, 10)["image"])
    np.testing.assert_array_equal(arrays["map"][:8, :10], example(8, 10)["map"])
    assert (arrays["map"][8:] == IGNORED).all()
    assert (arrays["map"][:, 10:] == IGNORED).all()
    assert not arrays["image"][8:].any()
    np.testing.assert_array_equal(FitWithMap((12, 15)).place(8, 10), np.eye(2, 3))


def test_a_large_image_is_scaled_to_fit():
    arrays = FitWithMap((8, 10))(example(16, 20), np.random.default_rng(0))
    assert IGNORED not in arrays["map"]
    np.testing.assert_array_equal(FitWithMap((8, 10)).place(16, 20), [[2, 0, 0], [0, 2, 0]])
    tall = FitWithMap((8, 10))(example(16, 10), np.random.default_rng(0))["map"]
    assert (tall[:, 5:] == IGNORED).all()
    assert IGNORED not in tall[:, :5]


def test_a_random_part_keeps_image_and_map_together():
    transform = RandomCropWithMap((8, 10), 3, 0.25, 1.0)
    image = np.zeros((16, 20, 3), np.uint8)
    labels = np.zeros((16, 20), np.int32)
    image[:, 10:], labels[:, 10:] = 240, 1
    rng = np.random.default_rng(0)
    padded, agreements = 0, []
    for _ in range(50):
        arrays = transform({"image": image, "map": labels}, rng)
        inside = arrays["map"] != IGNORED
        padded += not inside.all()
        agree = (arrays["image"][..., 0] > 120) == (arrays["map"] == 1)
        agreements.append(agree[inside])
        assert not arrays["image"][~inside].any()
    assert np.concatenate(agreements).mean() > 0.95  # all but the pixels on the edge
    assert 5 < padded < 45  # of images scaled below the size
    same = [transform(example(16, 20), np.random.default_rng(3))["map"] for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_a_part_outside_of_the_image_is_empty():
    arrays = placed(**example_arrays(), box=(30.0, 0.0, 40.0, 8.0), size=(8, 10))
    assert (arrays["map"] == IGNORED).all()
    assert not arrays["image"].any()


def example_arrays():
    arrays = example(8, 10)
    return {"image": arrays["image"], "labels": arrays["map"].astype(np.int32)}


def test_whole_images_of_mixed_size_are_evaluated_in_buckets(tmp_path):
    for number, size in enumerate([(8, 10), (10, 8), (8, 10), (6, 6), (10, 8)]):
        for split in ("train", "val"):
            picture(tmp_path / split / "images" / f"{number}.png", size)
            label_map(tmp_path / split / "labels" / f"{number}.png", halves(size))
    buckets = Bucketed((FitWithMap((8, 10)), FitWithMap((10, 8))), smallest_that_holds)
    data = ImageData(
        LabelMaps(tmp_path), 2, eval_batch_size=2, train_transform=buckets, eval_transform=buckets
    )
    shapes, pixels = set(), 0
    for batch in data.examples("test"):
        shapes.add(batch["map"].shape)
        pixels += int(((batch["map"] != IGNORED) & (batch["valid"][:, None, None] > 0)).sum())
    assert shapes == {(2, 8, 10), (2, 10, 8)}
    assert pixels == 4 * 80 + 36


def test_without_a_map_all_is_ignored():
    file = io.BytesIO()
    Image.fromarray(example(8, 10)["image"]).save(file, "PNG")
    arrays = FitWithMap((12, 12))({"image": file.getvalue()}, np.random.default_rng(0))
    assert (arrays["map"] == IGNORED).all()
    np.testing.assert_array_equal(arrays["image"][:8, :10], example(8, 10)["image"])


@pytest.mark.parametrize(
    ("make", "name"),
    [(plain, "classes.txt"), (voc, "ImageSets/Segmentation/train.txt"), (plain, "classes.csv")],
)
def test_a_list_that_is_no_text_is_told_in_one_line(tmp_path, make, name):
    folder = make(tmp_path)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"\xff\x00\x81" * 9)
    with pytest.raises(UsageError, match=f"{name}: not a readable list") as caught:
        LabelMaps(folder).info()
    assert "\n" not in str(caught.value)
