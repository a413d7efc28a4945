"""torch's own `.pt`/`.pth` files, without torch and without running anything in them.

A file of torch >= 1.6 is a zip with `data.pkl`, a pickle that refers to raw storages in `data/`.
Pickles can call any function they name, so this unpickler knows the handful of names that a
state dict of tensors consists of, and refuses every other before anything runs.
"""

import collections
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np


class RefusedError(ValueError):
    """The pickle names something that is no tensor and no container."""


DTYPES: dict[str, Any] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class _Storage:
    """Stands for `torch.FloatStorage` and its kin."""

    def __init__(self, dtype: Any):
        self.dtype = dtype


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> np.ndarray:
    """A tensor's view of its storage, copied; raises ValueError if it reaches beyond."""
    if any(n < 0 for n in (*size, *stride, offset)) or len(size) != len(stride):
        raise ValueError(f"a tensor of size {size}, stride {stride}, offset {offset}")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if math.prod(size) and last >= storage.size:
        raise ValueError(f"a tensor reaches to {last} in a storage of {storage.size}")
    strides = tuple(s * storage.itemsize for s in stride)
    view = np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), strides)
    return view.copy()


def _rebuild_parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    return data


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    **{("torch", name): _Storage(dtype) for name, dtype in DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise RefusedError(
                f"refused: its pickle names {module}.{name}, which is no tensor and no container"
            ) from None

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, storage, key, _, count = pid
        if kind != "storage" or not isinstance(storage, _Storage):
            raise RefusedError(f"refused: its pickle refers to {kind!r}, which is no storage")
        data = np.frombuffer(self.archive.read(f"{self.root}data/{key}"), storage.dtype)
        if data.size < count:
            raise ValueError(f"storage {key} holds {data.size} of {count} values")
        return data


def load(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a torch zip, by name; of a training checkpoint those of its `state_dict`.

    Raises RefusedError for a pickle that names anything else, ValueError, KeyError or
    zipfile.BadZipFile for a broken file.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError("no zip: torch wrote it before 1.6, or it is cut short")
    with zipfile.ZipFile(path) as archive:
        # torch stores and does not compress; a small file cannot become a large one.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("a compressed entry, which torch does not write")
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"a torch zip holds one data.pkl, this one {len(pickles)}")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist():
            order = archive.read(f"{root}byteorder")
            if order != b"little":
                raise ValueError(f"byte order {order.decode()!r}, only little is read")
        content = _Unpickler(archive.read(pickles[0]), archive, root).load()
    return _state_dict(content)


def _state_dict(content: Any) -> dict[str, np.ndarray]:
    if isinstance(content, dict):
        for key in ("state_dict", "model_state_dict", "model"):
            if isinstance(content.get(key), dict):
                return _state_dict(content[key])
        if content and all(isinstance(value, np.ndarray) for value in content.values()):
            return {str(name): value for name, value in content.items()}
    raise ValueError("holds no state dict, a mapping of names to tensors")
