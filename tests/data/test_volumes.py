"""Volumes in one orientation and spacing, their layouts on disk, and their patches."""

import json
import pickle
import re

import numpy as np
import pytest

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import ExampleError
from jresnet.data.sources.kept import Kept
from jresnet.data.sources.mni152 import Mni152
from jresnet.data.sources.volumes import Volumes
from jresnet.data.volume_parts import RandomPatch, WholeVolume
from jresnet.data.volumes import (
    Preparation,
    Volume,
    Window,
    ZScore,
    resampled,
    spacing_of,
    upright,
    upright_grid,
)
from jresnet.errors import UsageError
from tests.data.volumes import ball, decathlon, dicom, nifti, plain

pytest.importorskip("nibabel", reason="the extra `medical` is not installed")
RNG = np.random.default_rng(0)
NONE = Window(-1, 1)


def turned(values, axes, signs):
    """The same body, stored along other axes: values and affine of spacing 1, 2, 3 mm (x, y, z)."""
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = -4, 5, 6
    stored = values.transpose(axes)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    matrix[:3, 3] = affine[:3, 3]
    for place, axis in enumerate(axes):
        column = affine[:3, axis]
        if signs[place] < 0:
            stored = np.flip(stored, place)
            matrix[:3, 3] += column * (values.shape[axis] - 1)
            column = -column
        matrix[:3, place] = column
    return Volume(stored[..., None], matrix)


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
def test_any_orientation_becomes_the_same_and_maps_find_back(axes, signs):
    body = RNG.normal(size=(4, 5, 6)).astype(np.float32)  # x to the right, y front, z head
    volume = turned(body, axes, signs)
    straight = upright(volume)
    np.testing.assert_array_equal(straight.values[..., 0], body.transpose(2, 1, 0))
    assert spacing_of(straight) == (3, 2, 1)
    assert upright_grid(volume.size, volume.affine) == ((6, 5, 4), (3, 2, 1))
    np.testing.assert_allclose((straight.affine @ [0, 0, 0, 1])[:3], (-4, 5, 6))
    labels = (body > 0).astype(np.int32)
    restored = Preparation().restored(labels.transpose(2, 1, 0), volume)
    np.testing.assert_array_equal(restored, volume.values[..., 0] > 0)


def test_resampling_is_linear_between_centres_and_nearest_for_maps():
    size, new = (6, 5, 4), (9, 10, 3)
    values = RNG.normal(size=(*size, 2))
    expected = values
    for axis, (old, side) in enumerate(zip(size, new, strict=True)):
        centres = (np.arange(side) + 0.5) * old / side - 0.5
        expected = np.apply_along_axis(
            lambda line, c=centres, n=old: np.interp(c, np.arange(n), line), axis, expected
        )
    np.testing.assert_allclose(resampled(values, new, 1), expected, atol=1e-12)
    labels = RNG.integers(0, 3, (*size, 1))
    picked = labels
    for axis, (old, side) in enumerate(zip(size, new, strict=True)):
        picked = picked.take(((np.arange(side) + 0.5) * old / side).astype(int), axis)
    np.testing.assert_array_equal(resampled(labels, new, 0), picked)


def test_a_stated_spacing_keeps_the_extent_and_maps_return_to_the_files_size():
    body = np.zeros((8, 8, 8), np.float32)
    body[2:6, 2:6, 2:6] = 1
    volume = turned(body, (1, 2, 0), (1, -1, 1))
    preparation = Preparation((1.5, 1.0, 1.0), NONE)
    image = preparation.image(volume)
    assert image.shape == (16, 16, 8, 1)
    assert preparation.size((8, 8, 8), (3, 2, 1)) == image.shape[:3]
    assert preparation.target((8, 8, 8), (3, 2, 1)) == (1.5, 1.0, 1.0)
    labels = preparation.labels(Volume((volume.values > 0).astype(np.int32), volume.affine))
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(preparation.restored(labels, volume), volume.values[..., 0])


def test_intensity():
    values = RNG.normal(5, 3, (4, 4, 4, 2)) * (RNG.random((4, 4, 4, 1)) > 0.5)
    scored = ZScore()(values)
    assert scored.dtype == np.float32
    assert (scored[values == 0] == 0).all()
    for channel in range(2):
        inside = scored[..., channel][values[..., channel] != 0]
        assert inside.mean() == pytest.approx(0, abs=1e-5)
        assert inside.std() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(ZScore()(np.full((2, 2, 2, 1), 7.0))).all()
    assert ZScore(nonzero=False)(values).mean() == pytest.approx(0, abs=1e-6)
    ct = np.array([-1000, -160, 40, 240, 3000.0])[:, None]
    np.testing.assert_allclose(Window(-160, 240)(ct)[:, 0], [-1, -1, 0, 1, 1])
    with pytest.raises(UsageError, match=r"low=3, high=3: expected low < high"):
        Window(3, 3)


def test_the_layout_of_nnunet(tmp_path):
    data = Volumes(decathlon(tmp_path, 6), Preparation(intensity=NONE))
    info = data.info()
    assert (info.class_names, info.sizes) == (("background", "ball"), {"train": 4, "test": 2})
    assert (info.fixed_shape, data.largest()) == ((10, 14, 12, 1), (10, 14, 12))
    names = [data.open(split).describe(i) for split in ("train", "test") for i in range(2)]
    assert len({*names}) == 4
    folds = [Volumes(tmp_path, fold=fold).open("test") for fold in range(5)]
    tested = [one.describe(i) for one in folds for i in range(len(one))]
    assert sorted(tested) == sorted({*tested})
    assert len(tested) == 6
    example = data.open("train")[0]
    number = int(re.search(r"case(\d)", data.open("train").describe(0))[1])
    image, labels = ball(seed=number)
    np.testing.assert_allclose(example["image"][..., 0], image.clip(-1, 1).transpose(2, 1, 0))
    np.testing.assert_array_equal(example["map"], labels.transpose(2, 1, 0))
    np.testing.assert_array_equal(example["spacing"], 1)
    with pytest.raises(UsageError, match="fold=7: expected 0 to 4"):
        Volumes(tmp_path, fold=7).info()


def test_the_labels_of_the_decathlon_and_the_ignored_one_of_nnunet(tmp_path):
    decathlon(tmp_path, names={"0": "background", "1": "ball"})
    assert Volumes(tmp_path).info().class_names == ("background", "ball")
    content = {"labels": {"background": 0, "ball": 1, "ignore": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    for number in range(5):
        nifti(tmp_path / f"labelsTr/case{number}.nii.gz", 2 * ball(seed=number)[1])
    example = Volumes(tmp_path).open("train")[0]
    assert {*np.unique(example["map"])} == {0, IGNORED}
    for labels, message in (
        ({"a": [0, 1]}, "expected labels, each a name and one number"),
        ({"a": 0, "b": 2}, r"labels are \[0, 2\]: expected 0 to 1"),
    ):
        (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
        with pytest.raises(UsageError, match=message):
            Volumes(tmp_path).info()


@pytest.mark.parametrize(("images", "maps"), [("images", "labels"), ("Images", "Masks")])
def test_images_and_labels_without_a_split_are_divided(tmp_path, images, maps):
    for number in range(5):
        image, labels = ball(seed=number)
        nifti(tmp_path / images / f"{number}.nii.gz", image)
        nifti(tmp_path / maps / f"{number}.nii.gz", labels)
    assert Volumes(tmp_path).info().sizes == {"train": 4, "test": 1}
    folds = [Volumes(tmp_path, fold=fold).open("test").describe(0)[-8:-7] for fold in range(5)]
    assert sorted(folds) == list("01234")


def test_splits_below_images_and_labels(tmp_path):
    plain(tmp_path / "plain")
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / "plain" / split / kind).rename(tmp_path / kind / split)
    assert Volumes(tmp_path).info().sizes == {"train": 3, "test": 3}


def test_channels_along_a_fourth_axis_need_no_description(tmp_path):
    for number in range(3):
        image, labels = ball(seed=number)
        both = np.stack([image, -image], -1)
        for split in ("train", "test"):
            nifti(tmp_path / split / "images" / f"{number}.nii.gz", both)
            nifti(tmp_path / split / "labels" / f"{number}.nii.gz", labels)
    data = Volumes(tmp_path)
    assert data.info().image_shape[-1] == 2
    image = data.open("train")[0]["image"]
    np.testing.assert_allclose(image[..., 0], -image[..., 1], atol=1e-5)


def test_plain_folders_with_several_channels_and_dicom(tmp_path):
    pytest.importorskip("pydicom", reason="the extra `medical` is not installed")
    data = Volumes(plain(tmp_path / "plain"))
    info = data.info()
    assert (info.num_classes, info.sizes) == (2, {"train": 3, "test": 3})
    values, images = np.arange(4 * 5 * 6).reshape(4, 5, 6), tmp_path / "ct" / "train" / "images"
    for number in range(2):
        dicom(images / f"{number}", values)
        affine = np.diag([-0.75, -0.5, 2, 1.0])
        affine[:3, 3] = -10, 20, 30
        labels = (values > 60).transpose(2, 1, 0).astype(np.uint8)
        nifti(tmp_path / "ct" / "train" / "labels" / f"{number}.nii.gz", labels, affine)
    (tmp_path / "ct" / "test").mkdir()
    (tmp_path / "ct" / "test" / "images").symlink_to(images)
    (tmp_path / "ct" / "test" / "labels").symlink_to(images.parent / "labels")
    example = Volumes(tmp_path / "ct", Preparation(intensity=Window(-1000, 1000))).open("train")[0]
    # To the right and to the front is the reverse of DICOM's columns and rows.
    np.testing.assert_array_equal(example["map"], (values > 60)[:, ::-1, ::-1])
    expected = (values[:, ::-1, ::-1] * 2 - 1000) / 1000
    np.testing.assert_allclose(example["image"][..., 0], expected, atol=1e-6)
    np.testing.assert_allclose(example["spacing"], (2, 0.5, 0.75))
    for number in range(3):
        source = tmp_path / "plain" / "train" / "images" / f"{number}.nii.gz"
        source.rename(source.with_name(f"{number}_0000.nii.gz"))
        nifti(source.with_name(f"{number}_0001.nii.gz"), np.ones((12, 14, 10)))
    example = Volumes(tmp_path / "plain").open("train")[0]
    assert example["image"].shape == (10, 14, 12, 2)


def test_whole_volumes_are_padded_in_their_middle(tmp_path):
    volumes = Volumes(decathlon(tmp_path))
    whole = WholeVolume((1, 1, 1), 8).holding(volumes.largest())
    assert whole.size == (16, 16, 16)
    example = volumes.open("train")[0]
    arrays = whole(example, RNG)
    box = np.s_[3:13, 1:15, 2:14]
    np.testing.assert_array_equal(arrays["image"][box], example["image"])
    np.testing.assert_array_equal(arrays["map"][box], example["map"])
    assert (arrays["map"] != IGNORED).sum() == example["map"].size
    assert not arrays["image"][arrays["map"] == IGNORED].any()
    spec = whole.spec(volumes.info())
    assert {name: (a.dtype, a.shape) for name, a in arrays.items()} == {
        name: (a.dtype, a.shape) for name, a in spec.items()
    }
    with pytest.raises(ExampleError, match=r"volume is \(10, 14, 12\): expected at most \(8,"):
        WholeVolume((8, 16, 16))(example, RNG)
    with pytest.raises(ExampleError, match="class 1 in its map: expected 0 to 0"):
        whole.validate(arrays, Mni152().info().__class__("x", 1))


def test_patches_are_parts_of_their_volume_and_hold_foreground_when_asked():
    labels = np.zeros((20, 30, 40), np.int32)
    labels[2, 3, 4], labels[17, 20, 30] = 1, 2
    labels[9, 0] = IGNORED  # no foreground, far from both
    image = np.arange(labels.size, dtype=np.float32).reshape(*labels.shape, 1)
    example = {"image": image, "map": labels}
    rng = np.random.default_rng(1)
    held, corners = [], set()
    for _ in range(60):
        patch = RandomPatch((8, 8, 8), foreground=1.0)(example, rng)
        first = int(patch["image"][0, 0, 0, 0])
        corner = np.unravel_index(first, labels.shape)
        inside = tuple(slice(c, c + 8) for c in corner)
        np.testing.assert_array_equal(patch["image"], image[inside])
        np.testing.assert_array_equal(patch["map"], labels[inside])
        held.append({*np.unique(patch["map"])} - {0, IGNORED})
        corners.add(corner)
    assert all(held)
    assert 15 <= sum(2 in classes for classes in held) <= 45  # each class as often as the other
    patches = [RandomPatch((8, 8, 8), foreground=0.0)(example, rng)["map"] for _ in range(60)]
    assert sum(np.isin(patch, (1, 2)).any() for patch in patches) < 30


def test_a_patch_larger_than_its_volume_is_padded_and_ignored():
    example = {"image": np.ones((4, 30, 5, 1), np.float32), "map": np.ones((4, 30, 5), np.int32)}
    patch = RandomPatch((8, 8, 8), foreground=1.0)(example, RNG)
    assert (patch["map"] == 1).sum() == patch["image"].sum() == 4 * 8 * 5
    assert (patch["map"][2:6, :, 1:6] == 1).all()
    empty = {"image": np.ones((9, 9, 9, 1), np.float32), "map": np.full((9, 9, 9), IGNORED)}
    assert (RandomPatch((8, 8, 8), foreground=1.0)(empty, RNG)["map"] == IGNORED).all()


class Counting:
    """A source that counts how often it is read."""

    reads = 0

    def __len__(self):
        return 3

    def describe(self, index):
        return str(index)

    def __getitem__(self, index):
        self.reads += 1
        return {"image": np.full(100, index, np.uint8)}


def test_kept_examples_are_read_once_as_long_as_there_is_room():
    source = Counting()
    kept = Kept(source, limit=200)
    for index in (0, 1, 0, 1):
        assert kept[index]["image"][0] == index
    assert source.reads == 2
    kept[2]  # takes the place of 0
    assert kept[1]["image"][0] == 1
    assert kept[2]["image"][0] == 2
    assert (source.reads, kept.bytes) == (3, 200)
    kept[0]
    assert source.reads == 4
    other = pickle.loads(pickle.dumps(kept))
    assert (len(other), other.bytes, other.describe(1)) == (3, 0, "1")


def test_the_head_of_nilearn():
    pytest.importorskip("nilearn", reason="the extra `medical` is not installed")
    data = Mni152(visits=4)
    train, test = data.open("train"), data.open("test")
    assert (len(train), len(test)) == (4, 3)
    example = train[3]
    assert example["image"].shape == (155, 90, 73, 1)
    front = np.concatenate([test[i]["map"] for i in range(3)])
    assert front.shape == (155, 91, 73)
    assert data.largest() == tuple(np.max([test[i]["map"].shape for i in range(3)], 0))
    # Grey is a shell about white: nearly no white voxel touches background.
    for labels in (example["map"], front):
        shares = np.bincount(labels.reshape(-1), minlength=3) / labels.size
        assert 0.2 < shares[1] < 0.5
        assert 0.1 < shares[2] < 0.4
    assert (
        example["image"][example["map"] == 2].mean() > example["image"][example["map"] == 1].mean()
    )
    with pytest.raises(UsageError, match="split='val'"):
        data.open("val")
    with pytest.raises(UsageError, match=r"spacing=.*: expected none, the MNI152 head is of 1 mm"):
        Mni152(preparation=Preparation((2.0, 2.0, 2.0)))


def test_the_head_is_symmetric_which_is_why_halves_do_not_test_each_other():
    pytest.importorskip("nilearn", reason="the extra `medical` is not installed")
    from jresnet.data.sources.mni152 import FILES, find_folder
    from jresnet.data.sources.volume_files import read_nifti

    for name in FILES.values():
        values = read_nifti(find_folder() / name).values[..., 0]
        np.testing.assert_array_equal(values, values[::-1])


def test_without_nilearn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert Mni152().info().num_classes == 3
    with pytest.raises(UsageError, match=r"nilearn, which is not installed.*jresnet\[medical\]"):
        Mni152().open("train")
