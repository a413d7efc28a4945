import pickle
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jresnet.data.sources.resolve import default_data_dir, info, open_split
from jresnet.data.sources.synthetic import Synthetic
from jresnet.data.sources.tfds import TfdsDataset
from jresnet.errors import UsageError
from tests.data.conftest import encode

SHARED = Path(__file__).parents[3].parent / "shared" / "data"
CIFAR_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def grey_level(value: int) -> np.ndarray:
    return np.full((4, 6, 3), value, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes ant (two images) and bee (one) in train, one of each in val; pixels tell them apart."""
    for name, value in (
        ("train/bee/0.png", 10),
        ("train/ant/1.PNG", 2),
        ("train/ant/0.png", 1),
    ):
        write(tmp_path / name, encode(grey_level(value)))
    for name, value in (("val/ant/0.png", 3), ("val/bee/0.png", 30)):
        write(tmp_path / name, encode(grey_level(value)))
    return tmp_path


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def zip_up(folder: Path) -> None:
    for split in ("train", "val"):
        with zipfile.ZipFile(folder / f"{split}.zip", "w") as archive:
            for file in (folder / split).rglob("*.*"):
                archive.write(file, file.relative_to(folder / split))
        shutil.rmtree(folder / split)


@pytest.mark.parametrize("zipped", [False, True])
def test_folder(folder: Path, zipped: bool) -> None:
    write(folder / "train/ant/notes.txt", b"no image")
    if zipped:
        zip_up(folder)
    facts = info(str(folder))
    assert facts.class_names == ("ant", "bee")
    assert facts.image_shape == (4, 6, 3)
    assert facts.sizes == {"train": 3, "test": 2}
    for split, values in (
        ("train", [(1, 0), (2, 0), (10, 1)]),
        ("test", [(3, 0), (30, 1)]),
    ):
        source = open_split(str(folder), split)
        assert source[0]["label"] == 0
        source = pickle.loads(pickle.dumps(source))  # in use, as when handed to workers
        assert [
            (int(np.asarray(example["image"]).mean()), example["label"])
            for example in source_list(source)
        ] == values
    encoded = open_split(str(folder), "train", encoded=True)[2]["image"]
    assert encoded == encode(grey_level(10))


def source_list(source) -> list:
    return [source[index] for index in range(len(source))]


def test_folder_of_grey_images_of_two_sizes(tmp_path: Path) -> None:
    write(tmp_path / "train/a/0.png", encode(np.zeros((4, 5), np.uint8)))
    write(tmp_path / "train/b/0.pgm", encode(np.full((4, 7), 9, np.uint8), "PPM"))
    assert info(str(tmp_path)).image_shape == (4, None, 1)
    image = open_split(str(tmp_path), "train")[1]["image"]
    assert isinstance(image, np.ndarray)
    assert image.shape == (4, 7, 1)
    assert (image == 9).all()


FAULTS: list[tuple[Callable[[Path], object], str]] = [
    (lambda root: [shutil.rmtree(root / name) for name in ("train", "val")], "no train split"),
    (
        lambda root: shutil.rmtree(root / "val"),
        "no test split there; .* test or val or valid or validation",
    ),
    (
        lambda root: [shutil.rmtree(root / "train" / name) for name in ("ant", "bee")],
        "no class folders",
    ),
    (
        lambda root: [file.unlink() for file in root.glob("train/*/*")],
        "every class of .*/train is empty; expected files ending in",
    ),
    (
        lambda root: write(root / "val/cat/0.png", b""),
        "class 'cat' of .*val is not in train, .* ant, bee",
    ),
    (
        lambda root: write(root / "val/bee/0.png", b"no png"),
        r"val/bee/0\.png: not a readable image",
    ),
    (
        lambda root: write(root / "val/bee/0.png", encode(grey_level(3))[:-30]),
        r"val/bee/0\.png: not a readable",
    ),
    (
        lambda root: write(root / "val.zip", b"") or shutil.rmtree(root / "val"),
        r"val\.zip is not a readable zip",
    ),
]


@pytest.mark.parametrize(("break_it", "message"), FAULTS)
def test_faults_of_a_folder(folder: Path, break_it: Callable[[Path], object], message: str) -> None:
    break_it(folder)
    with pytest.raises(UsageError, match=message):
        source_list(open_split(str(folder), "test"))


def test_cifar10_jpeg_zip() -> None:
    folder = SHARED / "cifar10_jpeg"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    facts = info(str(folder))
    assert facts.class_names == CIFAR_CLASSES
    assert (facts.image_shape, facts.sizes) == (
        (32, 32, 3),
        {"train": 50_000, "test": 10_000},
    )
    source = open_split(str(folder), "test")
    assert [source[index]["label"] for index in (0, 999, 1000, 9999)] == [0, 0, 1, 9]
    with (
        zipfile.ZipFile(folder / "test.zip") as archive,
        archive.open("automobile/0000.jpg") as file,
    ):
        np.testing.assert_array_equal(
            np.asarray(source[1000]["image"]), np.asarray(Image.open(file))
        )


def test_tfds_set_that_is_not_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        pytest.fail(f"a download: {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert info("cifar10", tmp_path).num_classes == 10
    assert info("imagenet2012", tmp_path).image_shape == (None, None, 3)
    with pytest.raises(UsageError) as caught:
        open_split("cifar10", "train", tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "cifar10") in message
    assert f"tfds build cifar10 --file_format=array_record --data_dir={tmp_path}" in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar01", "did you mean 'cifar10'"),
        ("digit", "did you mean 'digits'"),
        ("coco_captions", "does not import"),
        ("cifar10/blurred", "no such configuration .*blurred"),
        ("bccd", "expected one image and one class label per example, found image, "),
        ("/nowhere/at/all", "no such folder"),
        ("x" * 5000, "cannot be read .File name too long"),
        ("./" + "x" * 5000, "cannot be read .File name too long"),
        ("x" * 5000 + ".npz", "cannot be read .File name too long"),
    ],
)
def test_wrong_names(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        info(name, tmp_path)
    assert "\n" not in str(caught.value)


class TinyPhotos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A set with image files and a validation split, as built-in ones have them."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(4),
            "validation": self._generate_examples(3),
        }

    def _generate_examples(self, size: int):
        for index in range(size):
            yield (
                index,
                {"image": Image.fromarray(grey_level(index)), "label": index % 3},
            )


def test_tfds_set_with_image_files(tmp_path: Path) -> None:
    TinyPhotos(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    assert info("tiny_photos", tmp_path).sizes == {"train": 4, "test": 3}
    source = open_split("tiny_photos", "test", tmp_path)
    assert sorted((np.asarray(e["image"]).mean(), e["label"]) for e in source_list(source)) == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]
    assert isinstance(open_split("tiny_photos", "test", tmp_path, encoded=True)[0]["image"], bytes)
    assert len(open_split("tiny_photos", "train[:50%]", tmp_path)) == 2
    with pytest.raises(UsageError, match=r"split='extra'.*train, validation"):
        open_split("tiny_photos", "extra", tmp_path)


def test_imagenet_is_evaluated_on_validation(tmp_path: Path) -> None:
    # Its split named test has the label -1 throughout.
    assert TfdsDataset("imagenet2012", tmp_path)._split_name("test") == "validation"
    assert TfdsDataset("cifar10", tmp_path)._split_name("test") == "test"


def test_tfds_set_in_another_format(tmp_path: Path) -> None:
    TinyPhotos(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    description = tmp_path / "tiny_photos/1.0.0/dataset_info.json"
    description.write_text(description.read_text().replace("array_record", "tfrecord"))
    for file in description.parent.glob("*array_record*"):
        file.rename(file.with_name(file.name.replace("array_record", "tfrecord")))
    with pytest.raises(
        UsageError,
        match=r"array_record is needed.*tfds convert_format .*--out_file_format=array_record",
    ):
        open_split("tiny_photos", "train", tmp_path)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


@pytest.mark.parametrize("name", ["dataset_info.json", "*-train.array_record*"])
@pytest.mark.parametrize("spoil", [cut, flip, Path.unlink, lambda file: file.write_bytes(b"")])
def test_a_damaged_tfds_set_is_one_line(
    name: str, spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    TinyPhotos(data_dir=tmp_path, file_format="array_record").download_and_prepare()
    (file,) = (tmp_path / "tiny_photos/1.0.0").glob(name)
    spoil(file)
    with pytest.raises(UsageError) as caught:
        source_list(open_split("tiny_photos", "train", tmp_path))
    assert "tiny_photos" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_synthetic_is_deterministic_and_differs_by_split_and_seed() -> None:
    def first(split: str, seed: int = 0) -> bytes:
        return np.asarray(open_split(Synthetic(seed=seed), split)[0]["image"]).tobytes()

    assert first("train") == first("train")
    assert len({first("train"), first("test"), first("train", 1)}) == 3
    source = open_split(Synthetic((5, 6, 1), 3, train_size=7), "train")
    assert np.asarray(source[6]["image"]).shape == (5, 6, 1)
    assert [example["label"] for example in source] == [0, 1, 2, 0, 1, 2, 0]  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match="split='extra'"):
        open_split("synthetic", "extra")


def test_default_data_dir_is_that_of_tfds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert default_data_dir() == tmp_path
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert default_data_dir() == Path.home() / "tensorflow_datasets"
