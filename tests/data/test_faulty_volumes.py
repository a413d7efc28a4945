"""Faults in volumes and their maps: named, counted and left out, or told in one line."""

import itertools
import re

import numpy as np
import pytest
from PIL import Image

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.broken import BrokenExampleError
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.volumes import Volumes
from jresnet.data.volume_parts import WholeVolume
from jresnet.errors import UsageError
from tests.data.volumes import ball, decathlon, nifti, plain

pytest.importorskip("nibabel", reason="the extra `medical` is not installed")
AWAY = np.eye(4)
AWAY[0, 3] = 2.0


def change_labels(folder, value):
    labels = ball()[1].copy()
    labels[0, 0, 0] = value
    nifti(folder / "labels" / "0.nii.gz", labels)


BROKEN = {
    "nan": (
        lambda f: nifti(f / "images/0.nii.gz", np.where(ball()[1] == 1, np.nan, 1)),
        r"images/0\.nii\.gz: .* of its values are nan or inf",
    ),
    "inf": (
        lambda f: nifti(f / "images/0.nii.gz", np.where(ball()[1] == 1, np.inf, 1)),
        r"images/0\.nii\.gz: .* of its values are nan or inf",
    ),
    "flat": (
        lambda f: nifti(f / "images/0.nii.gz", np.ones((12, 14))),
        r"images/0\.nii\.gz: is 12 x 14: expected a volume",
    ),
    "one slice": (
        lambda f: nifti(f / "images/0.nii.gz", np.ones((12, 14, 1))),
        r"images/0\.nii\.gz: is 12 x 14 x 1: expected a volume",
    ),
    "size": (
        lambda f: nifti(f / "labels/0.nii.gz", ball()[1][1:]),
        r"labels/0\.nii\.gz: is \(11, 14, 10\): expected \(12, 14, 10\), the size of its image 0",
    ),
    "affine": (
        lambda f: nifti(f / "labels/0.nii.gz", ball()[1], AWAY),
        r"labels/0\.nii\.gz: its affine puts it 2 mm away from its image",
    ),
    "class": (
        lambda f: change_labels(f, 7),
        r"labels/0\.nii\.gz: value 7 in the map: expected a class, 0 to 1",
    ),
    "half a class": (
        lambda f: nifti(f / "labels/0.nii.gz", ball()[1] * 0.5),
        r"labels/0\.nii\.gz: value 0\.5 in the map",
    ),
    "no class": (
        lambda f: nifti(f / "labels/0.nii.gz", np.full((12, 14, 10), 255, np.uint8)),
        r"labels/0\.nii\.gz: all of its voxels are ignored",
    ),
    "nan in the map": (
        lambda f: nifti(f / "labels/0.nii.gz", np.full((12, 14, 10), np.nan)),
        r"labels/0\.nii\.gz: value nan in the map",
    ),
    "no map": (
        lambda f: (f / "labels/0.nii.gz").unlink(),
        r"images/0\.nii\.gz: has no partner: expected a map",
    ),
    "no image": (
        lambda f: (f / "images/0.nii.gz").unlink(),
        r"labels/0\.nii\.gz: has no partner: expected an image",
    ),
    "channels": (
        lambda f: nifti(f / "images/0.nii.gz", np.ones((12, 14, 10, 2))),
        r"images/0\.nii\.gz: has 2 channels: expected 1",
    ),
    "picture": (
        lambda f: Image.new("L", (12, 14)).save(f / "images/0.png"),
        r"images/0\.png: is a picture: expected a volume, \.nii, \.nii\.gz or a folder of DICOM",
    ),
    "damage": (
        lambda f: (f / "images/0.nii.gz").write_bytes(b"no volume"),
        r"images/0\.nii\.gz: ",
    ),
}


def test_masks_of_0_and_255_are_a_foreground_when_asked_and_no_set_of_one_class(tmp_path):
    plain(tmp_path)
    for split, number in itertools.product(("train", "val"), range(3)):
        nifti(tmp_path / split / "labels" / f"{number}.nii.gz", 255 * ball(seed=number)[1])
    with pytest.raises(UsageError, match=r"no class but 0; expected two or more.*--foreground"):
        Volumes(tmp_path).info()
    volumes = Volumes(tmp_path, foreground=True)
    assert volumes.info().class_names == ("background", "foreground")
    for split, number in itertools.product(("train", "test"), range(3)):
        read = volumes.open(split)[number]["map"]
        assert np.unique(read).tolist() == [0, 1]
        assert read.sum() == ball(seed=number)[1].sum()
    numbered = Volumes(tmp_path, foreground=True, ignored=(255,))
    with pytest.raises(UsageError, match="expected two, of value 0 and of any other"):
        Volumes(tmp_path, foreground=True, classes=("a", "b", "c")).info()
    assert IGNORED in numbered.open("train")[0]["map"]
    BROKEN["nan in the map"][0](tmp_path / "train")
    with pytest.raises(BrokenExampleError, match="value nan in the map"):
        Volumes(tmp_path, foreground=True).open("train")[0]


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_volume_is_named_counted_and_left_out(tmp_path, fault):
    spoil, message = BROKEN[fault]
    spoil(plain(tmp_path) / "train")
    volumes = Volumes(tmp_path, classes=("background", "ball"))
    with pytest.raises(BrokenExampleError, match=message):
        volumes.open("train")[3 if fault == "picture" else 0]
    whole = WholeVolume((12, 14, 12))
    data = ImageData(volumes, 2, 1, train_transform=whole, eval_transform=whole)
    train = data.train()
    for _ in range(3):  # an epoch and a half
        batch = next(train)
        assert np.isfinite(batch["image"]).all()
    train.close()
    (line,) = data.broken()
    assert re.search(message, line)


def test_too_many_faulty_volumes_end_the_run(tmp_path):
    plain(tmp_path)
    for number in range(2):
        BROKEN["nan"][0](tmp_path / "train")
        (tmp_path / "train/labels" / f"{number}.nii.gz").unlink()
    whole = WholeVolume((12, 14, 12))
    volumes = Volumes(tmp_path, classes=("a", "b"))
    data = ImageData(volumes, 2, 1, train_transform=whole, eval_transform=whole)
    with pytest.raises(UsageError, match="2 of 3 files are broken"):
        list(zip(range(4), data.train(), strict=False))


def test_folders_that_are_none_of_the_layouts(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        Volumes(tmp_path / "nothere").info()
    with pytest.raises(UsageError, match="no volumes with label maps"):
        Volumes(tmp_path).info()
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        Image.new("L", (12, 14)).save(tmp_path / kind / "0.png")
    with pytest.raises(UsageError, match="no volumes with label maps"):
        Volumes(tmp_path).info()
    with pytest.raises(UsageError, match="3 volumes; expected at least 5"):
        Volumes(decathlon(tmp_path, 3)).info()
