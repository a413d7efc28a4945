"""A run's data on another set of the same kind."""

import dataclasses

import numpy as np
import pytest

from jresnet.commands.other_folder import in_other_folder
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.boxes import Boxes
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.shapes import Shapes
from jresnet.data.with_boxes import by_proportions
from jresnet.errors import UsageError
from jresnet.recipes.detection import RECIPES
from jresnet.recipes.segmentation import RECIPES as OF_MAPS
from tests.data import box_folders, map_folders


def test_label_maps_keep_classes_and_ignored_values(tmp_path):
    one = LabelMaps(map_folders.plain(tmp_path / "one"), ignored=(7,))
    other = map_folders.plain(tmp_path / "other")
    data = OF_MAPS["small"].data(one, batch_size=1)
    moved = in_other_folder(data, str(other), ("road", "sky"))
    assert moved.dataset == dataclasses.replace(one, folder=other, classes=("road", "sky"))
    batch = next(moved.examples("test"))
    np.testing.assert_array_equal(batch["map"][0], next(data.examples("test"))["map"][0])


def test_there_is_room_for_more_objects(tmp_path, monkeypatch):
    data = RECIPES["small"].data(Boxes(box_folders.voc(tmp_path / "one")), "boxes")
    other = str(box_folders.yolo(tmp_path / "other"))
    for each in (data.eval_transform, by_proportions(data.eval_transform, 32, 64)):
        moved = in_other_folder(
            dataclasses.replace(data, eval_transform=each), other, ("cat", "dog")
        )
        assert (next(moved.examples("test"))["class"][0] >= 0).sum() == 1
        assert moved.dataset.names == ("cat", "dog")
    monkeypatch.setattr(Boxes, "largest", lambda self, split: (19, 5, 0))
    moved = in_other_folder(data, other, ("cat", "dog"))
    assert (data.eval_transform.limit, moved.eval_transform.limit) == (8, 19)


def test_sets_with_names_and_sets_that_lie_nowhere():
    assert in_other_folder(ImageData("digits", 8), "mnist", ()).dataset == "mnist"
    with pytest.raises(
        UsageError, match="dataset='x': expected none, the run's Shapes lies in no folder"
    ):
        in_other_folder(ImageData(Shapes(), 8), "x", ())
    with pytest.raises(UsageError, match="the run's object has its own"):
        in_other_folder(object(), "x", ())
