"""Checkpoints in `.npz`, with what its headers claim compared with what is there."""

import math
import zipfile
from pathlib import Path
from typing import IO

import ml_dtypes
import numpy as np

from jresnet.weights.clamped import Clamped
from jresnet.weights.inert import RefusedError

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Weights hardly compress; zeros do. Beyond both it is a bomb.
MULTIPLE, FLOOR = 8, 2**24


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name, in memory bounded by a small multiple of the file's size.

    Raises RefusedError for what is no array of numbers, and any exception for a broken file.
    """
    limit = max(FLOOR, MULTIPLE * path.stat().st_size)
    with Clamped(path) as file, zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        for entry in entries:
            if entry.compress_type not in COMPRESSIONS or entry.flag_bits & 1:
                raise RefusedError(f"refused: {entry.filename!r} is encrypted or oddly compressed")
            if not entry.filename.endswith(".npy"):
                raise RefusedError(f"refused: {entry.filename!r} in it is no array")
        total = sum(entry.file_size for entry in entries)
        if total > limit:
            raise RefusedError(f"refused: its arrays claim {total:,} bytes, more than {limit:,}")
        arrays = {}
        for entry in entries:
            with archive.open(entry) as stream:
                arrays[entry.filename.removesuffix(".npy")] = _array(stream, entry)
        return arrays


def _array(stream: IO[bytes], entry: zipfile.ZipInfo) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{entry.filename!r} has version {version}")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(stream)
    if not numeric(dtype):
        raise RefusedError(f"refused: {entry.filename!r} is of {str(dtype)[:40]}, no real numbers")
    # Never more than is claimed: without a number zipfile decompresses to the end first.
    data = stream.read(max(0, entry.file_size - stream.tell()))
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{entry.filename!r} claims {shape} of {dtype} in {len(data):,} bytes")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C").copy()


def numeric(dtype: np.dtype) -> bool:
    """Whether of real numbers; the narrow floats are ml_dtypes'."""
    try:
        ml_dtypes.finfo(dtype)
    except ValueError:
        return dtype.kind in "biu"
    return dtype.kind != "c"
