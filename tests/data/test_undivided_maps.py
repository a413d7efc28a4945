"""Folders of images and maps without a split to test on, and lists of splits of other tools."""

import logging

import numpy as np
import pytest
from PIL import Image

from jresnet.data.sources import drawn
from jresnet.data.sources.drawn import draw_test
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.errors import UsageError


def pictures(folder, names, ending="", size=(12, 8)):
    """Grey pictures of 0 and 1, one a name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        values = np.indices(size[::-1]).sum(0) % 2
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{name}{ending}.png")


def names_of(maps, split):
    return {image.stem for image, _ in maps.open(split).pairs}


def test_a_fifth_is_drawn_by_names_whatever_the_order():
    names = [f"{i:03}" for i in range(50)]
    train, test = draw_test(names, str)
    assert (len(train), len(test)) == (40, 10)
    assert sorted([*train, *test]) == names
    assert train == sorted(train)
    assert set(draw_test(names[::-1], str)[1]) == set(test)
    # Of a set that grew, nearly all that was trained on still is.
    _, grown = draw_test([*names, *(f"x{i}" for i in range(5))], str)
    assert len(set(grown) & set(test)) >= 8
    assert draw_test(names[:1], str) == (names[:1], [])
    assert [len(half) for half in draw_test(names[:2], str)] == [1, 1]
    assert draw_test([], str) == ([], [])


@pytest.mark.parametrize(
    ("images", "maps", "ending"),
    [
        ("images", "masks", ""),
        ("imgs", "mask", "_mask"),
        ("JPEGImages", "SegmentationClass", ""),
        ("train/images", "train/labels", ""),
        ("images/part", "labels/part", ""),
    ],
)
def test_a_folder_without_a_split_to_test_on_trains_and_says_so(
    tmp_path, caplog, images, maps, ending
):
    drawn.tell_drawn.cache_clear()
    names = [f"a{i}" for i in range(10)]
    pictures(tmp_path / images, names)
    pictures(tmp_path / maps, names, ending)
    with caplog.at_level(logging.WARNING):
        dataset = LabelMaps(tmp_path)
        info = dataset.info()
    assert (info.sizes["train"], info.sizes["test"]) == (8, 2)
    assert not names_of(dataset, "train") & names_of(dataset, "test")
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "2 of its 10 examples, chosen by their names" in said[0]
    assert dataset.open("train")[0]["map"].shape == (8, 12)


def test_a_set_with_a_split_to_test_on_keeps_it(tmp_path, caplog):
    for split, names in (("train", ["a", "b"]), ("val", ["c"])):
        pictures(tmp_path / split / "images", names)
        pictures(tmp_path / split / "masks", names)
    maps = LabelMaps(tmp_path)
    assert (names_of(maps, "train"), names_of(maps, "test")) == ({"a", "b"}, {"c"})
    assert not caplog.records


def voc(folder, lists):
    """VOC's folders with the lists of `lists`, by their path."""
    names = [f"n{i}" for i in range(6)]
    pictures(folder / "JPEGImages", names)
    pictures(folder / "SegmentationClass", names)
    pictures(folder / "SegmentationClassAug", names)
    for path, chosen in lists.items():
        (folder / "ImageSets" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / path).write_text("".join(f"{name}\n" for name in chosen))


def test_lists_of_augmentation_and_vocs_own_maps_to_test_on(tmp_path):
    lists = {"SegmentationAug/train_aug.txt": ["n0", "n1"], "Segmentation/val.txt": ["n2"]}
    voc(tmp_path, lists)
    maps = LabelMaps(tmp_path)
    assert {path.parent.name for _, path in maps.open("train").pairs} == {"SegmentationClassAug"}
    assert {path.parent.name for _, path in maps.open("test").pairs} == {"SegmentationClass"}


def test_the_only_list_of_an_annotation_tool_is_trained_on(tmp_path):
    voc(tmp_path, {"Segmentation/default.txt": [f"n{i}" for i in range(5)]})
    maps = LabelMaps(tmp_path)
    assert len(names_of(maps, "train")) == 4
    assert len(names_of(maps, "test")) == 1
    assert "n5" not in names_of(maps, "train") | names_of(maps, "test")


def test_images_alone_are_refused(tmp_path):
    pictures(tmp_path / "images", ["a"])
    with pytest.raises(UsageError, match="no images with label maps; expected images and labels"):
        LabelMaps(tmp_path).info()


def test_two_maps_of_one_image_are_refused(tmp_path):
    pictures(tmp_path / "images" / "train", ["a", "b"])
    pictures(tmp_path / "labels" / "train", ["a", "b"], "_gtFine_labelIds")
    pictures(tmp_path / "labels" / "train", ["b"], "_gtFine_labelTrainIds")
    with pytest.raises(UsageError, match=r"labelIds\.png and .*b_.*TrainIds\.png are maps of one"):
        LabelMaps(tmp_path).info()


def test_folders_in_lower_case_have_the_classes_of_their_layout(tmp_path):
    for split in ("train", "val"):
        name = "aachen_000000_000019"
        pictures(tmp_path / "leftimg8bit" / split / "aachen", [name], "_leftImg8bit")
        pictures(tmp_path / "gtfine" / split / "aachen", [name], "_gtFine_labelIds")
    assert LabelMaps(tmp_path).info().num_classes == 19
