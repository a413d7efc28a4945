"""Image sets in one .npz, as MedMNIST gives them out."""

from pathlib import Path

import numpy as np
import pytest

from jresnet.data.pipeline import ImageData
from jresnet.data.source import info, open_split
from jresnet.errors import UsageError

XRAYS = Path(__file__).parents[2].parent / "shared/data/pneumonia/pneumonia_balanced_28.npz"


def arrays(**changes):
    rng = np.random.default_rng(0)
    made = {}
    for split, size in (("train", 6), ("test", 4)):
        made[f"{split}_images"] = rng.integers(0, 256, (size, 5, 4), np.uint8)
        made[f"{split}_labels"] = (np.arange(size) % 3)[:, None].astype(np.uint8)
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def write(path, **changes):
    np.savez(path, **arrays(**changes))
    return str(path)


def test_images_labels_and_names_come_through(tmp_path):
    path = write(tmp_path / "set.npz")
    found = info(path)
    assert (found.name, found.num_classes, found.image_shape) == ("set", 3, (5, 4, 1))
    assert found.sizes == {"train": 6, "test": 4}
    source = open_split(path, "test")
    made = arrays()
    for index in range(4):
        assert np.array_equal(source[index]["image"][..., 0], made["test_images"][index])
        assert source[index]["label"] == made["test_labels"][index, 0]
    assert source.describe(3) == "set.npz test example 3"


def test_colour_flat_labels_and_class_names(tmp_path):
    images = np.zeros((6, 5, 4, 3), np.uint8)
    labels, names = np.arange(6) % 2, np.array(["normal", "ill"])
    path = write(tmp_path / "set.npz", train_images=images, train_labels=labels, class_names=names)
    found = info(path)
    assert (found.class_names, found.image_shape) == (("normal", "ill"), (5, 4, 3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"test_labels": None}, "no array test_labels there, only test_images, train_images"),
        ({"train_images": np.zeros((6, 5, 4))}, "train_images is float64 (6, 5, 4)"),
        ({"train_labels": np.zeros(5, int)}, "expected one integer for each of the 6 images"),
        ({"test_labels": np.zeros(4)}, "test_labels is float64 (4,)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changes, words):
    path = write(tmp_path / "set.npz", **changes)
    with pytest.raises(UsageError) as error:
        info(path)
    assert words in str(error.value)
    assert path in str(error.value)


def test_no_file_and_a_broken_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        info(str(tmp_path / "none.npz"))
    whole = Path(write(tmp_path / "set.npz")).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"half.npz.*not a readable"):
        info(str(tmp_path / "half.npz"))
    np.savez(tmp_path / "pickle.npz", **arrays(train_images=np.array([{}], object)))
    with pytest.raises(UsageError, match="train_images is unreadable"):
        info(str(tmp_path / "pickle.npz"))


@pytest.mark.skipif(not XRAYS.exists(), reason=f"the X-rays are not at {XRAYS}")
def test_the_xrays():
    data = ImageData(str(XRAYS), 32)
    data.check()
    assert (data.size("train"), data.size("test")) == (2428, 468)
    labels = np.concatenate([b["label"][b["mask"] > 0] for b in data.examples("test")])
    assert np.bincount(labels).tolist() == [234, 234]
