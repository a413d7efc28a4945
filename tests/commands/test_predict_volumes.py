"""`predict` of volumes: maps in the files' own size and place, millilitres, and faulty files."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image

from experiments.volumes import volumes
from jresnet.commands.predict_volumes import (
    TrainedOnVolumes,
    find_channels,
    find_volumes,
    predict_volumes,
)
from jresnet.commands.results import Results
from jresnet.commands.trained import Trained
from jresnet.data.info import Info
from jresnet.data.normalisation import Prepared
from jresnet.data.sources.volume_files import read_nifti
from jresnet.data.volume_parts import WholeVolume
from jresnet.data.volumes import Preparation, Window
from jresnet.run.launch import launch
from jresnet.tasks.segment import Segment
from tests.data.volumes import ball, decathlon, dicom, nifti

pytest.importorskip("nibabel", reason="the extra `medical` is not installed")
AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, -3, 7], [0, 0, 0, 1]])


class Bright(nn.Module):
    """Class 1 where the input is above 0."""

    @nn.compact
    def __call__(self, x, *, train):
        return jnp.concatenate([-x, x], -1)


def bright(spacing=None):
    info = Info("run", 2, ("background", "ball"), class_of="pixel")
    trained = Trained(Segment(Bright(), Prepared()), {}, WholeVolume((8, 8, 8), 8), info)
    return TrainedOnVolumes(trained, Preparation(spacing, Window(0, 2)), 1)


@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 2.0)])
def test_maps_have_the_axes_of_their_file_and_classes_their_millilitres(tmp_path, capsys, spacing):
    labels = ball()[1]
    path = nifti(tmp_path / "in" / "scan.nii.gz", labels * 2.0, AFFINE)
    (tmp_path / "in" / "bad.nii").write_bytes(b"no volume")
    nifti(tmp_path / "in" / "flat.nii", np.ones((4, 5)))
    nifti(tmp_path / "in" / "nan.nii", np.full((4, 5, 6), np.nan))
    paths = list(find_volumes([tmp_path / "in"]))
    assert [p.name for p in paths] == ["bad.nii", "flat.nii", "nan.nii", "scan.nii.gz"]
    results = Results(tmp_path / "out", {}, len(paths))
    assert predict_volumes([(path,) for path in paths], bright(spacing), results) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == [
        f"skipped {tmp_path / 'in' / name}" for name in ("bad.nii", "flat.nii", "nan.nii")
    ]
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len(record["skipped"]) == 3
    (one,) = record["files"].values()
    written = read_nifti(tmp_path / "out" / one["written"]["nii.gz"])
    assert one["written"]["nii.gz"] == "4-scan.nii.gz"
    np.testing.assert_allclose(written.affine, AFFINE)
    assert written.size == labels.shape
    wrong = (written.values[..., 0] != labels).sum()
    assert wrong == 0 if spacing is None else wrong < 0.15 * labels.sum()
    ball_record, background = one["classes"]  # class 0 last
    voxels = int((written.values == 1).sum())
    assert (ball_record["class"], ball_record["voxels"]) == ("ball", voxels)
    assert ball_record["millilitres"] == pytest.approx(voxels * 9 / 1000)
    assert background["voxels"] + voxels == labels.size
    heading, first, second = out.splitlines()
    assert heading.split() == ["volume", "class", "ml", "share"]
    assert first.split()[:3] == [str(path), "ball", f"{voxels * 9 / 1000:.2f}"]
    assert second.split()[0] == "background"
    drawing = np.asarray(Image.open(tmp_path / "out" / one["drawing"]))
    assert drawing.ndim == 3
    assert drawing.shape[0] > 500


def test_a_dicom_series_becomes_a_map_in_its_place(tmp_path):
    pytest.importorskip("pydicom", reason="the extra `medical` is not installed")
    values = np.full((4, 5, 6), 500, np.int16)  # of which the rescale makes 0
    values[1, 2, 3:] = 501
    folder = dicom(tmp_path / "ct", values)
    assert list(find_volumes([folder])) == [folder]
    results = Results(tmp_path / "out", {}, 1)
    assert predict_volumes([(folder,)], bright(), results) == 0
    written = read_nifti(tmp_path / "out" / "1-ct.nii.gz")
    np.testing.assert_array_equal(written.values[..., 0], (values == 501).transpose(2, 1, 0))
    place = (written.affine @ [3, 2, 1, 1])[:3]
    np.testing.assert_allclose(place, (-(10 + 0.75 * 3), -(-20 + 0.5 * 2), 30 + 2 * 1))


class TwoChannels(nn.Module):
    """Class 1 where the second channel is above the first."""

    @nn.compact
    def __call__(self, x, *, train):
        return x


def test_files_of_a_channel_each_are_one_case(tmp_path):
    labels = ball()[1]
    for case, names in (("a", ("0001", "0000")), ("b", ("0000",))):
        for name in names:  # class 1 is the second channel
            values = labels if name == "0001" else 1 - labels
            nifti(tmp_path / "in" / f"{case}_{name}.nii.gz", values * 2.0)
    both = np.stack([2.0 - 2 * labels, 2.0 * labels], -1)
    for number in (1, 2):  # scans with both channels along the fourth axis
        nifti(tmp_path / "in" / f"scan_000{number}.nii.gz", both)
    info = Info("run", 2, ("background", "ball"), class_of="pixel")
    whole = WholeVolume((8, 8, 8), 8)
    trained = Trained(Segment(TwoChannels(), Prepared()), {}, whole, info)
    net = TrainedOnVolumes(trained, Preparation(None, Window(0, 2)), 2)
    cases = find_channels(find_volumes([tmp_path / "in"]), net.channels)
    assert [[path.name for path in files] for files in cases] == [
        ["a_0000.nii.gz", "a_0001.nii.gz"], ["b_0000.nii.gz"], ["scan_0001.nii.gz"],
        ["scan_0002.nii.gz"],
    ]  # fmt: skip
    assert len(find_channels(find_volumes([tmp_path / "in"]), 1)) == 5
    nifti(tmp_path / "flat" / "scan.nii", np.ones((8, 8)))
    nifti(tmp_path / "flat" / "scan.nii.gz", np.ones((8, 8)))
    flat = list(find_volumes([tmp_path / "flat"]))
    assert len(find_channels(flat, 1)) == 2  # one scan in two forms is no scan of two channels
    assert len(find_channels(flat, 2)) == 1
    results = Results(tmp_path / "out", {}, len(cases))
    assert predict_volumes(cases, net, results) == 1
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert "has 1 channels: expected 2" in record["skipped"][str(tmp_path / "in" / "b_0000.nii.gz")]
    one = record["files"][str(tmp_path / "in" / "a_0000.nii.gz")]
    assert [name[-11:] for name in one["channels"]] == ["0000.nii.gz", "0001.nii.gz"]
    for name in ("1-a_0000", "3-scan_0001", "4-scan_0002"):
        written = read_nifti(tmp_path / "out" / f"{name}.nii.gz")
        np.testing.assert_array_equal(written.values[..., 0], labels)


@pytest.mark.slow
def test_from_a_folder_as_nnunet_has_it_to_the_map_of_a_new_file(tmp_path, command):
    decathlon(tmp_path / "set", 6)
    run = tmp_path / "run"
    words = ["--dataset", str(tmp_path / "set"), "--steps", "4", "--patch", "8", "8", "8"]
    launch(volumes, [*words, "--devices", "1", "--workdir", str(run)])
    page = (run / "report.html").read_text()
    assert "Dice ball" in page
    assert "Examples: plain residual U-Net" in page
    for training in ("residual U-Net-seed0", "plain residual U-Net-seed0"):
        metrics = json.loads((run / training / "result.json").read_text())["metrics"]["test"]
        assert 0 <= metrics["dice/ball"] <= 1
        status, out, _ = command("evaluate", run / training)
        assert status == 0
        row = next(line for line in out.splitlines() if "dice/ball" in line)
        assert float(row.split()[-1]) == pytest.approx(metrics["dice/ball"], abs=1e-3)
    path = nifti(tmp_path / "new.nii.gz", ball(size=(9, 11, 13), seed=9)[0], AFFINE)
    status, out, err = command(
        "predict", run / "residual U-Net-seed0", path, "--out", tmp_path / "out"
    )
    assert (status, err) == (0, "")
    assert str(path) in out
    written = read_nifti(tmp_path / "out" / "1-new.nii.gz")
    assert written.size == (9, 11, 13)
    np.testing.assert_allclose(written.affine, AFFINE)
