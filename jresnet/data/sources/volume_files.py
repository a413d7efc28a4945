"""Files of volumes: NIfTI, and folders of DICOM slices."""

import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jresnet.data.decoders import DecodeError, guarded
from jresnet.data.sources.files import is_hidden
from jresnet.data.volumes import Volume
from jresnet.extras import library

SUFFIXES = (".nii", ".nii.gz")
_MOST = 1 << 31  # voxels; a header that says more is damaged
_UNEVEN = 0.05  # of the distance between slices


def is_volume(name: str) -> bool:
    """Whether a file's name is that of a NIfTI file."""
    return name.lower().endswith(SUFFIXES) and not is_hidden(name)


def stem(name: str) -> str:
    """A file's name without the suffix of NIfTI."""
    lower = name.lower()
    return next((name[: -len(s)] for s in (".nii.gz", ".nii") if lower.endswith(s)), name)


def header(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """The shape that a file promises, `[i, j, k]` or `[i, j, k, channels]`, and its affine.

    Raises DecodeError and OSError.
    """
    if path.is_dir():
        slices = _slices(path, pixels=False)
        return (slices[0].Columns, slices[0].Rows, len(slices)), _affine(slices)
    nibabel = library("nibabel", "medical")
    with guarded():
        image = nibabel.load(path)
        return _squeezed(image.shape), np.asarray(image.affine, np.float64)


def read_volume(path: Path) -> Volume:
    """A NIfTI file, or a folder of DICOM slices, float32 `[i, j, k, channels]`.

    Raises DecodeError and OSError.
    """
    return read_dicom(path) if path.is_dir() else read_nifti(path)


def read_nifti(path: Path, dtype: type = np.float32) -> Volume:
    """A NIfTI file; its scale and offset are applied. Raises DecodeError and OSError."""
    nibabel = library("nibabel", "medical")
    with guarded():
        image = nibabel.load(path)
        shape = _squeezed(image.shape)
        if np.prod(shape, dtype=np.float64) > _MOST:
            raise DecodeError(f"{shape} voxels; expected at most {_MOST:,}")
        values = np.asarray(image.dataobj, dtype).reshape(shape)
        values = values if values.ndim > 3 else values[..., None]
        return Volume(values, np.asarray(image.affine, np.float64))


def nifti_bytes(labels: np.ndarray, affine: np.ndarray) -> bytes:
    """A label map, int `[i, j, k]`, as a compressed NIfTI file."""
    nibabel = library("nibabel", "medical")
    dtype = np.uint8 if labels.max(initial=0) < 256 else np.int32
    stream = io.BytesIO()
    nibabel.Nifti1Image(labels.astype(dtype), affine).to_stream(stream)
    return gzip.compress(stream.getvalue(), mtime=0)


def read_dicom(folder: Path) -> Volume:
    """A folder that holds the slices of one series, in the order of their place in the body.

    Rescale slope and intercept are applied. Raises DecodeError and OSError.
    """
    slices = _slices(folder, pixels=True)
    planes = []
    with guarded():
        for one in slices:
            plane = one.pixel_array.astype(np.float32)
            scale, offset = getattr(one, "RescaleSlope", 1), getattr(one, "RescaleIntercept", 0)
            planes.append(plane.T * np.float32(scale) + np.float32(offset))
    return Volume(np.stack(planes, -1)[..., None], _affine(slices))


def _slices(folder: Path, pixels: bool) -> list[Any]:
    """The slices of a folder, sorted. Raises DecodeError for several series, and for gaps."""
    pydicom = library("pydicom", "medical")
    slices = []
    with os.scandir(folder) as entries:
        paths = sorted(e.path for e in entries if e.is_file() and not is_hidden(e.name))
    for path in paths:
        try:
            one = pydicom.dcmread(path, stop_before_pixels=not pixels)
        except pydicom.errors.InvalidDicomError:
            continue  # a note beside the slices
        except (OSError, EOFError, ValueError, AttributeError) as error:
            raise DecodeError(f"{Path(path).name} is not a readable slice ({error})") from error
        if "ImagePositionPatient" in one and "Rows" in one:  # no DICOMDIR, no report
            slices.append(one)
    if len(slices) < 2:
        raise DecodeError(f"{len(slices)} DICOM slices; expected at least 2 with a position")
    series = {str(getattr(one, "SeriesInstanceUID", "")) for one in slices}
    if len(series) > 1:
        raise DecodeError(f"{len(series)} DICOM series; expected a folder for each")
    for name in ("Rows", "Columns", "ImageOrientationPatient", "PixelSpacing"):
        if len({str(getattr(one, name, None)) for one in slices}) > 1 or name not in slices[0]:
            raise DecodeError(f"its slices differ in {name} or have none; expected the same")
    slices.sort(key=_depth)
    steps = np.diff([_depth(one) for one in slices])
    if steps.min() <= 0 or steps.max() - steps.min() > _UNEVEN * np.median(steps):
        raise DecodeError(
            f"its slices are {steps.min():.3g} to {steps.max():.3g} mm apart; expected even steps"
        )
    return slices


def _directions(one: Any) -> tuple[np.ndarray, np.ndarray]:
    """Directions of growing column and of growing row, in DICOM's axes (left, back, head)."""
    values = np.asarray(one.ImageOrientationPatient, np.float64)
    return values[:3], values[3:]


def _depth(one: Any) -> float:
    """The place of a slice along the normal of its plane, in millimetres."""
    return float(np.cross(*_directions(one)) @ np.asarray(one.ImagePositionPatient, np.float64))


def _affine(slices: Sequence[Any]) -> np.ndarray:
    """From (column, row, slice, 1) to millimetres to the right, front and head."""
    first, last = (np.asarray(s.ImagePositionPatient, np.float64) for s in (slices[0], slices[-1]))
    along, down = _directions(slices[0])
    between_rows, between_columns = (float(value) for value in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = along * between_columns, down * between_rows
    affine[:3, 2], affine[:3, 3] = (last - first) / (len(slices) - 1), first
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _squeezed(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without axes of 1 after the first three."""
    shape = tuple(int(side) for side in shape)
    rest = tuple(side for side in shape[3:] if side != 1)
    return (*shape[:3], *rest)
