"""Files of pairs as a dataset: pictures in order, pairs by their positions, what cannot be read."""

import pickle

import numpy as np
import pytest

from jresnet.data.alignment import Face
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.drawn_faces import DrawnFaces
from jresnet.data.sources.two_sets import TwoSets
from jresnet.errors import UsageError
from jresnet.weights.pair_pictures import NOBODY, PairPictures
from tests.faces import pair_file, picture


@pytest.fixture
def files(tmp_path):
    return pair_file(tmp_path / "lfw.bin", 3, 10), pair_file(tmp_path / "agedb_30.bin", 4, 15)


def test_pairs_of_two_files_point_at_their_pictures(files):
    dataset = PairPictures(files)
    assert dataset.info().sizes == {"test": 40 + 60}
    assert dataset.info().image_shape == (28, 23, 1)
    pairs = dataset.pairs()
    assert list(pairs) == ["lfw", "agedb_30"]
    source = dataset.open("test", encoded=True)
    left, right, same, fold = pairs["agedb_30"]
    assert left.tolist() == list(range(40, 100, 2))
    assert (right - left).tolist() == [1] * 30
    assert source[left[1]]["image"] == picture(21, 1)
    assert source[right[1]]["image"] == picture(20 + 2, 2)
    assert same.tolist() == [True, False] * 15
    assert np.bincount(fold).tolist() == [3] * 10
    assert source[7]["label"] == NOBODY
    assert source.describe(43) == "agedb_30 pair 2 right"


def test_a_net_is_trained_on_one_set_and_tested_on_the_other(files):
    face = Face((8, 8), 1)
    data = ImageData(
        TwoSets(DrawnFaces(4, 2, 1), PairPictures(files[:1])), 2, 8, train_transform=face, eval_transform=face
    )  # fmt: skip
    assert (data.size("train"), data.size("test"), data.info().num_classes) == (6, 40, 3)
    batches = list(data.examples("test"))
    assert sum(batch["valid"].sum() for batch in batches) == 40
    assert {*np.concatenate([batch["label"] for batch in batches]).tolist()} == {NOBODY}
    assert next(data.train())["image"].shape == (2, 8, 8, 1)


def test_a_damaged_picture_is_named_and_left_out(tmp_path):
    pictures = [picture(0, 0), b"", b"no picture", picture(0, 1)] * 10
    (tmp_path / "cfp.bin").write_bytes(pickle.dumps((pictures, [True, False] * 10)))
    face = Face((8, 8), 1)
    broken = TwoSets(DrawnFaces(4, 30, 1), PairPictures((tmp_path / "cfp.bin",)))
    data = ImageData(broken, 2, 8, train_transform=face, eval_transform=face)
    with pytest.raises(UsageError, match=r"cfp pair \d+ (left|right).*not a readable image"):
        list(data.examples("test"))  # half of all is more than a set may have


def test_two_files_of_one_name_and_a_training_split_are_refused(files, tmp_path):
    (tmp_path / "more").mkdir()
    other = pair_file(tmp_path / "more" / "lfw.bin", 3, 10)
    with pytest.raises(UsageError, match=r"pairs=lfw.bin: expected files of different names"):
        PairPictures((files[0], other)).info()
    with pytest.raises(UsageError, match="split='train': expected 'test'"):
        PairPictures(files).open("train")
