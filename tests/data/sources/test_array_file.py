"""Image sets in one .npz, as MedMNIST gives them out."""

import io
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jresnet.data.pipeline import ImageData
from jresnet.data.sources.resolve import info, open_split
from jresnet.errors import UsageError

XRAYS = Path(__file__).parents[3].parent / "shared/data/pneumonia/pneumonia_balanced_28.npz"


def arrays(**changes):
    rng = np.random.default_rng(0)
    members = {}
    for split, size in (("train", 6), ("test", 4)):
        members[f"{split}_images"] = rng.integers(0, 256, (size, 5, 4), np.uint8)
        members[f"{split}_labels"] = (np.arange(size) % 3)[:, None].astype(np.uint8)
    return {key: value for key, value in {**members, **changes}.items() if value is not None}


def write(path, **changes):
    np.savez(path, **arrays(**changes))
    return str(path)


def test_images_labels_and_names_come_through(tmp_path):
    path = write(tmp_path / "set.npz")
    facts = info(path)
    assert (facts.name, facts.num_classes, facts.image_shape) == ("set", 3, (5, 4, 1))
    assert facts.sizes == {"train": 6, "test": 4}
    source = open_split(path, "test")
    members = arrays()
    for index in range(4):
        assert np.array_equal(source[index]["image"][..., 0], members["test_images"][index])
        assert source[index]["label"] == members["test_labels"][index, 0]
    assert source.describe(3) == "set.npz test example 3"


def test_colour_flat_labels_and_class_names(tmp_path):
    images = np.zeros((6, 5, 4, 3), np.uint8)
    labels, names = np.arange(6) % 2, np.array(["normal", "ill"])
    path = write(tmp_path / "set.npz", train_images=images, train_labels=labels, class_names=names)
    facts = info(path)
    assert (facts.class_names, facts.image_shape) == (("normal", "ill"), (5, 4, 3))


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


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def claiming(shape, dtype="|u1", data=b""):
    """A .npy whose header claims more than there is."""
    buffer = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + data


def packed(path, compression=zipfile.ZIP_DEFLATED, **members):
    """An .npz of `arrays()`, with members of bytes put in their place."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, value in {**arrays(), **members}.items():
            archive.writestr(
                f"{name}.npy", value if isinstance(value, bytes) else npy(np.asarray(value))
            )
    return str(path)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"train_images": b"no array at all"}, "train_images is unreadable"),
        ({"train_labels": b""}, "train_labels is unreadable"),
        ({"train_images": npy(np.array([{}], object))}, "an array of type object"),
        ({"train_labels": np.zeros(6, [("a", int)])}, "an array of type [('a', '<i8')]"),
        ({"train_images": claiming((2**40,))}, "claims the shape (1099511627776,)"),
        ({"train_images": claiming((2**63, 2**63))}, "more than its"),
        ({"train_images": claiming((-4, 5, 4))}, "claims the shape (-4, 5, 4)"),
        ({"train_images": claiming((6, 5, 4), "<U999999")}, "claims the shape"),
        ({"train_images": claiming((1,), "|V")}, "train_images is"),
        ({"train_labels": np.array([2**31] + [0] * 5)}, "train_labels has 2147483648; expected 0 to 1048575"),
        ({"train_labels": np.array([2**64 - 1] + [0] * 5, np.uint64)}, "train_labels has 18446744073709551615"),
        ({"test_labels": np.array([-1, 0, 0, 0])}, "test_labels has -1; expected 0 to"),
        ({"train_labels": np.full((6, 2), 1)}, "expected one integer for each of the 6 images"),
        ({"train_images": np.zeros((0, 5, 4), np.uint8)}, "train_images is uint8 (0, 5, 4)"),
        ({"train_images": np.zeros((6, 0, 4), np.uint8)}, "train_images is uint8 (6, 0, 4)"),
        ({"test_images": np.zeros((4, 5, 0), np.uint8)}, "test_images is uint8 (4, 5, 0)"),
        ({"train_images": np.zeros((6, 5, 4, 5), np.uint8)}, "with C 1 or 3"),
        ({"train_images": np.zeros((6, 3, 5, 4), np.uint8)}, "with C 1 or 3"),
        ({"train_images": np.zeros((6, 5, 4, 4, 1), np.uint8)}, "expected uint8 [N, H, W] or"),
        ({"train_images": np.zeros(6, np.uint8)}, "expected uint8 [N, H, W] or"),
        ({"class_names": np.arange(3)}, "class_names is int64 (3,); expected text [classes]"),
        ({"class_names": np.array("one")}, "class_names is <U3 (); expected text [classes]"),
    ],
)  # fmt: skip
def test_hostile_arrays_are_one_line(tmp_path, members, words):
    path = packed(tmp_path / "set.npz", **members)
    with pytest.raises(UsageError) as error:
        info(path)
    assert words in str(error.value)
    assert path in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bomb_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "set.npz"
    zeros = npy(np.zeros((6, 100 << 20 >> 3, 8), np.uint8))[:128]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("train_labels.npy", npy(np.zeros(6, int)))
        with archive.open("train_images.npy", "w") as file:
            file.write(zeros)
            for _ in range(600):
                file.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        UsageError, match=r"train_images is unreadable .629,145,728 bytes packed to"
    ):
        info(str(path))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressions_that_are_not_meant(tmp_path, compression):
    path = packed(tmp_path / "set.npz", compression)
    with pytest.raises(UsageError, match=r"compression 1[24]; expected stored or deflated"):
        info(path)


@pytest.mark.parametrize(
    ("place", "value", "words"), [(8, 1, "encrypted"), (10, 99, "compression 99")]
)
def test_encryption_and_unknown_compression(tmp_path, place, value, words):
    path = Path(packed(tmp_path / "set.npz"))
    data = bytearray(path.read_bytes())
    entry = -1
    while (entry := data.find(b"PK\1\2", entry + 1)) >= 0:  # entries of the directory
        data[entry + place] = value
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        info(str(path))


def test_names_of_members_and_files_are_shown_without_escape_sequences(tmp_path):
    path = tmp_path / "a\x1b[31m.npz"
    np.savez(path, **{"\x1b[2J": np.zeros(3)})
    with pytest.raises(UsageError) as error:
        info(str(path))
    assert "\x1b" not in str(error.value)
    assert r"\x1b[2J" in str(error.value)


def test_bytes_as_class_names(tmp_path):
    names = np.array(["é".encode(), b"\xff", b"c"])
    class_names = info(write(tmp_path / "set.npz", class_names=names)).class_names
    assert class_names == ("é", "\udcff", "c")


def test_a_set_to_evaluate_on_alone(tmp_path):
    path = write(tmp_path / "set.npz", train_images=None, train_labels=None)
    assert info(path).sizes == {"test": 4}
    assert info(path).num_classes == 3
    with pytest.raises(UsageError, match="no array train_images there"):
        open_split(path, "train")


@pytest.mark.skipif(not XRAYS.exists(), reason=f"the X-rays are not at {XRAYS}")
def test_the_xrays():
    data = ImageData(str(XRAYS), 32)
    data.check()
    assert (data.size("train"), data.size("test")) == (2428, 468)
    labels = np.concatenate([b["label"][b["valid"] > 0] for b in data.examples("test")])
    assert np.bincount(labels).tolist() == [234, 234]
