"""Files of MedMNIST's form: pictures and volumes, a class, a grade or several labels."""

import numpy as np
import pytest

from jresnet.data.pipeline import ImageData
from jresnet.data.sources.medmnist import MedMnist, WithLabels
from jresnet.data.sources.medmnist_sets import SETS
from jresnet.errors import UsageError


def write(path, shape=(8, 8), classes=2, many=0, sizes=(12, 6, 6), **changes):
    """A made-up set; sizes are those of train, val and test."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, size in zip(("train", "val", "test"), sizes, strict=True):
        arrays[f"{split}_images"] = rng.integers(0, 256, (size, *shape), np.uint8)
        labels = np.arange(size)[:, None] % classes
        arrays[f"{split}_labels"] = (rng.random((size, many)) < 0.5).astype(np.int64) if many else labels  # fmt: skip
    np.savez(path, **(arrays | changes))
    return MedMnist(path)


def test_facts_are_those_of_the_paper():
    assert len(SETS) == 18
    assert sum(name.endswith("3d") for name in SETS) == 6
    # Tables 2 and 3 of arXiv:2110.14795 give these totals.
    flat = [sum(one.sizes) for name, one in SETS.items() if not name.endswith("3d")]
    assert sum(flat) == 708_069
    assert sum(sum(one.sizes) for one in SETS.values()) - sum(flat) == 9_998
    # The INFO of the package medmnist 3.0.2.
    assert {name: one.plus for name, one in SETS.items() if one.plus != one.sizes} == {
        "organamnist": (34_561, 6_491, 17_778), "organcmnist": (12_975, 2_392, 8_216),
        "organsmnist": (13_932, 2_452, 8_827), "organmnist3d": (971, 161, 610),
        "vesselmnist3d": (1_335, 191, 382),
    }  # fmt: skip
    assert {name: len(one.classes) for name, one in SETS.items()} == {
        "pathmnist": 9, "chestmnist": 14, "dermamnist": 7, "octmnist": 4, "pneumoniamnist": 2,
        "retinamnist": 5, "breastmnist": 2, "bloodmnist": 8, "tissuemnist": 8, "organamnist": 11,
        "organcmnist": 11, "organsmnist": 11, "organmnist3d": 11, "nodulemnist3d": 2,
        "adrenalmnist3d": 2, "fracturemnist3d": 3, "vesselmnist3d": 2, "synapsemnist3d": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "image"),
    [((8, 8), (8, 8, 1)), ((8, 8, 3), (8, 8, 3)), ((8, 8, 8), (8, 8, 8, 1))],
)
def test_pictures_and_volumes(tmp_path, shape, image):
    dataset = write(tmp_path / "some.npz", shape, classes=3)
    info = dataset.info()
    assert info.image_shape == image
    assert (dataset.kind, dataset.release, info.class_names) == ("multi-class", None, ("0", "1", "2"))  # fmt: skip
    assert dict(info.sizes) == {"train": 12, "val": 6, "test": 6}
    one = dataset.open("val")[4]
    stored = np.load(tmp_path / "some.npz")
    assert one["image"].shape == image
    assert np.array_equal(one["image"].reshape(shape), stored["val_images"][4])
    assert one["label"] == 1
    assert dataset.open("val").describe(4) == "some.npz val example 4"


def test_names_say_which_set_it_is_and_sizes_whether_it_is_official(tmp_path):
    dataset = write(tmp_path / "breastmnist_64.npz", sizes=(546, 78, 156))
    assert dataset.key == "breastmnist"
    assert dataset.release == "MedMNIST v2"
    assert dataset.info().class_names == ("malignant", "normal or benign")
    assert dataset.kind == "binary-class"
    assert write(tmp_path / "breastmnist.npz").release is None
    with pytest.raises(UsageError, match="train_labels has 3 classes; expected 2, those of breast"):
        write(tmp_path / "breastmnist.npz", classes=3).info()


@pytest.mark.parametrize("many", [0, 4])
def test_batches_of_three_splits(tmp_path, many):
    dataset = write(tmp_path / "some.npz", many=many)
    transform = WithLabels((8, 8, 1), many)
    data = ImageData(
        dataset, 4, eval_batch_size=4, train_transform=transform, eval_transform=transform,
        transform_once=True, val_split="val",
    )  # fmt: skip
    data.check()
    assert data.size("val") == 6
    rows = list(data.examples("val"))
    labels = np.concatenate([batch["label"][batch["valid"] > 0] for batch in rows])
    assert np.array_equal(labels, dataset.labels("val"))
    assert labels.shape == ((6, 4) if many else (6,))
    assert next(data.train())["label"].dtype == np.int32
    made_up = data.smoke()
    assert made_up.size("val") == made_up.size("test")
    assert next(made_up.train())["image"].shape == (4, 8, 8, 1)
    assert dataset.info().class_of == (None if many else "image")
    with pytest.raises(UsageError, match=r"label=\[2\]|label=7: expected 0 to 1"):
        transform.validate({"label": np.array([2] if many else 7)}, dataset.info())


def test_only_sets_with_a_split_to_choose_by_have_one(tmp_path):
    data = ImageData(write(tmp_path / "some.npz"), 4)
    with pytest.raises(UsageError, match="split='val': expected one of 'train', 'test'"):
        data.size("val")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"val_labels": np.zeros((5, 1), int)}, r"val_labels is int64 \(5, 1\); expected integers"),
        ({"test_labels": np.full((6, 1), -1)}, "test_labels has -1 to -1; expected 0 to 255"),
        ({"train_images": np.zeros((12, 8, 8))}, "train_images is float64"),
        ({"test_images": np.zeros((6, 9, 9), np.uint8)}, "splits of several shapes"),
        ({"train_labels": np.full((12, 3), 2)}, "train_labels has 2 to 2; expected 0 to 1"),
    ],
)
def test_faults_are_named_with_the_file(tmp_path, changes, words):
    with pytest.raises(UsageError, match=words) as error:
        write(tmp_path / "some.npz", **changes).info()
    assert str(error.value).startswith("dataset=")
    assert "some.npz" in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        MedMnist(tmp_path / "none.npz").info()
    np.savez(tmp_path / "few.npz", train_images=np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(UsageError, match="no array train_labels there, only train_images"):
        MedMnist(tmp_path / "few.npz").info()
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(UsageError, match=r"text.npz.: not a readable .npz"):
        MedMnist(tmp_path / "text.npz").info()
