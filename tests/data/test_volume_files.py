"""NIfTI and DICOM: values, places in the body, and what is wrong with files."""

import numpy as np
import pytest

from jresnet import extras
from jresnet.data.decoders import DecodeError
from jresnet.data.sources.volume_files import (
    header,
    nifti_bytes,
    read_dicom,
    read_nifti,
    read_volume,
    stem,
)
from jresnet.errors import UsageError
from tests.data.volumes import dicom, nifti

pytest.importorskip("nibabel", reason="the extra `medical` is not installed")
pytest.importorskip("pydicom", reason="the extra `medical` is not installed")
AFFINE = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])


def test_a_nifti_file_keeps_its_values_and_its_place(tmp_path):
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = nifti(tmp_path / "a.nii.gz", values, AFFINE)
    volume = read_volume(path)
    assert volume.values.dtype == np.float32
    np.testing.assert_array_equal(volume.values[..., 0], values)
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert header(path)[0] == (2, 3, 4)
    assert volume.millilitres == pytest.approx(2 * 1.5 * 3 / 1000)


def test_channels_along_a_fourth_axis_stay_and_axes_of_one_are_dropped(tmp_path):
    four = nifti(tmp_path / "four.nii", np.zeros((2, 3, 4, 5), np.float32))
    one = nifti(tmp_path / "one.nii", np.zeros((2, 3, 4, 1), np.float32))
    assert (read_nifti(four).values.shape, header(four)[0]) == ((2, 3, 4, 5), (2, 3, 4, 5))
    assert (read_nifti(one).values.shape, header(one)[0]) == ((2, 3, 4, 1), (2, 3, 4))


@pytest.mark.parametrize(("highest", "dtype"), [(3, np.uint8), (300, np.int32)])
def test_a_map_is_written_and_read_back(tmp_path, highest, dtype):
    labels = np.array([[[0, 1], [2, highest]]] * 2)
    (tmp_path / "a.nii.gz").write_bytes(nifti_bytes(labels, AFFINE))
    volume = read_nifti(tmp_path / "a.nii.gz", dtype)
    np.testing.assert_array_equal(volume.values[..., 0], labels)
    np.testing.assert_allclose(volume.affine, AFFINE)
    assert nifti_bytes(labels, AFFINE) == nifti_bytes(labels, AFFINE)


@pytest.mark.parametrize("content", [b"", b"no volume", b"\x1f\x8b damaged"])
def test_a_damaged_nifti_file_is_a_decode_error_of_one_line(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    for read in (read_nifti, header):
        with pytest.raises(DecodeError) as error:
            read(tmp_path / "a.nii.gz")
        assert "\n" not in str(error.value)


def test_a_cut_off_nifti_file_is_a_decode_error(tmp_path):
    path = nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).normal(size=(20, 20, 20)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DecodeError):
        read_nifti(path)


def test_a_dicom_series_is_sorted_by_place_rescaled_and_put_in_the_body(tmp_path):
    values = np.random.default_rng(0).integers(-50, 50, (4, 5, 6)).astype(np.int16)
    (tmp_path / "ct").mkdir()
    (tmp_path / "ct" / "notes.txt").write_text("no slice")
    volume = read_dicom(dicom(tmp_path / "ct", values))
    np.testing.assert_array_equal(volume.values[..., 0], values.transpose(2, 1, 0) * 2.0 - 1000)
    # Column i, row j, slice k lies at x = 10 + 0.75 i, y = -20 + 0.5 j, z = 30 + 2 k in DICOM's
    # axes to the left, the back and the head.
    for index in ((0, 0, 0), (5, 4, 3), (2, 1, 3)):
        i, j, k = index
        place = -(10 + 0.75 * i), -(-20 + 0.5 * j), 30 + 2 * k
        np.testing.assert_allclose((volume.affine @ [*index, 1])[:3], place)
    shape, affine = header(tmp_path / "ct")
    assert shape == (6, 5, 4)
    np.testing.assert_allclose(affine, volume.affine)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"SeriesInstanceUID": lambda n: f"1.2.{n % 2}"}, "2 DICOM series"),
        ({"PixelSpacing": lambda n: [1 + n % 2, 1]}, "differ in PixelSpacing"),
        ({"ImagePositionPatient": lambda n: [0, 0, 2 * n + (n == 3)]}, "2 to 3 mm apart"),
        ({"ImagePositionPatient": lambda n: [0, 0, 0]}, "0 to 0 mm apart"),
    ],
)
def test_slices_that_are_no_volume_are_refused(tmp_path, tags, message):
    folder = dicom(tmp_path / "ct", np.zeros((4, 5, 6), np.int16), **tags)
    with pytest.raises(DecodeError, match=message):
        read_dicom(folder)


def test_a_folder_without_slices_and_a_single_slice(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DecodeError, match="0 DICOM slices"):
        read_dicom(tmp_path / "empty")
    with pytest.raises(DecodeError, match="1 DICOM slices"):
        read_dicom(dicom(tmp_path / "one", np.zeros((1, 5, 6), np.int16)))


def test_names():
    names = ["a.nii.gz", "b.nii", "c.d.NII.GZ", "e.txt"]
    assert [stem(name) for name in names] == ["a", "b", "c.d", "e.txt"]


def test_a_library_that_is_missing_is_named_with_its_extra():
    with pytest.raises(UsageError, match=r"nothere is not installed: pip install 'jresnet\[medic"):
        extras.library("nothere.inside", "medical")
