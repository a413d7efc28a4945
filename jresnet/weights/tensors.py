"""torch's tensors in a pickle: where each lies in which storage, checked before a byte is read."""

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np

from jresnet.weights.inert import Call, Global, Inert, Machine, RefusedError
from jresnet.weights.pickled_arrays import Array, sizes

DTYPES: dict[str, np.dtype] = {
    "Float": np.dtype("<f4"),
    "Double": np.dtype("<f8"),
    "Half": np.dtype("<f2"),
    "BFloat16": np.dtype(ml_dtypes.bfloat16),
    "Long": np.dtype("<i8"),
    "Int": np.dtype("<i4"),
    "Short": np.dtype("<i2"),
    "Char": np.dtype("i1"),
    "Byte": np.dtype("u1"),
    "Bool": np.dtype("?"),
}
STORAGES = {
    f"{module}.{name}Storage": dtype
    for module in ("torch", "torch.cuda", "torch.storage")
    for name, dtype in (DTYPES | {"Untyped": np.dtype("u1")}).items()
}
# Types younger than torch's typed storages.
YOUNG = {
    "torch.uint16": np.dtype("<u2"),
    "torch.uint32": np.dtype("<u4"),
    "torch.uint64": np.dtype("<u8"),
    "torch.float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "torch.float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """`count` values from number `start` of the block of bytes called `key`."""

    key: str
    dtype: np.dtype
    count: int
    start: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage that lies in it whole; offset and strides in values."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return math.prod(self.size) * self.storage.dtype.itemsize

    def read(self, data: bytes) -> np.ndarray:
        """The values, copied out of the bytes of the storage's block."""
        dtype = self.storage.dtype
        begin = (self.storage.start + self.offset) * dtype.itemsize
        strides = tuple(s * dtype.itemsize for s in self.stride)
        if not self.nbytes:
            return np.empty(self.size, dtype)
        return np.ndarray(self.size, dtype, data, begin, strides).copy()


def storage_of(pid: Any, sizes_of: dict[str, int] | None = None) -> Any:
    """The storage, or class, of a persistent id as torch writes it.

    Args:
        pid: ("storage", type, key, device, count), in files before torch 1.6 with
            (key, start, count) of a view or None at its end; or ("module", class, ...).
        sizes_of: bytes of each block, where they are known already.

    Raises:
        RefusedError: for another id.
        ValueError: for a storage that its block does not hold.
    """
    if not isinstance(pid, tuple) or len(pid) < 3:
        raise RefusedError("refused: its pickle refers to something that is no storage")
    if pid[0] == "module":
        return pid[1]
    kind, key, view = pid[1], pid[2], pid[5] if len(pid) > 5 else None
    if pid[0] != "storage" or not isinstance(kind, Global) or not isinstance(key, str):
        raise RefusedError("refused: its pickle refers to something that is no storage")
    if kind.name not in STORAGES:
        return Inert(kind.name)
    (count,) = sizes((pid[4] if len(pid) > 4 else None,))
    storage = Storage(key, STORAGES[kind.name], count)
    if sizes_of is not None:
        check_block(storage, sizes_of.get(key))
    if view is None:
        return storage
    _, start, length = (*view, None, None, None)[:3] if isinstance(view, tuple) else (None,) * 3
    start, length = sizes((start, length))
    if start + length > count:
        raise ValueError(f"a view reaches to {start + length} in a storage of {count}")
    return dataclasses.replace(storage, start=start, count=length)


def check_block(storage: Storage, length: int | None) -> None:
    """Raises ValueError unless a block of `length` bytes (None: there is none) holds the storage."""
    if length is None:
        raise ValueError(f"there is no storage {storage.key!r}")
    held = length // storage.dtype.itemsize
    if held < storage.start + storage.count:
        raise ValueError(
            f"storage {storage.key} holds {held} of {storage.start + storage.count} values"
        )


def _tensor(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """`_rebuild_tensor_v2(storage, offset, size, stride, ...)`."""
    del machine
    storage, *where = (*arguments, None, None, None, None)[:4]
    if isinstance(storage, Inert):
        return storage
    if not isinstance(storage, Storage):
        raise RefusedError("refused: its pickle makes a tensor of something that is no storage")
    return _view(storage, *where)


def _view(storage: Storage, offset: Any, size: Any, stride: Any) -> Tensor:
    (offset,), size, stride = sizes((offset,)), sizes(size), sizes(stride)
    if len(size) != len(stride):
        raise ValueError(f"a tensor of size {size} and stride {stride}")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if math.prod(size) and last >= storage.count:
        raise ValueError(f"a tensor reaches to {last} in a storage of {storage.count}")
    return Tensor(storage, offset, size, stride)


def _young_tensor(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """`_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, ...)`."""
    dtype = arguments[6] if len(arguments) > 6 else None
    name = dtype.name if isinstance(dtype, Global) else "torch.dtype"
    if name not in YOUNG or not arguments or not isinstance(arguments[0], Storage):
        return Inert(f"torch._utils._rebuild_tensor_v3 of {name}")
    raw, kind = arguments[0], YOUNG[name]
    if raw.dtype.itemsize != 1:
        raise ValueError("a tensor of a young type in a typed storage")
    storage = Storage(raw.key, kind, raw.count // kind.itemsize)
    return _tensor(machine, (storage, *arguments[1:]))


def _first(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """A Parameter is its tensor; `torch.Size` its tuple."""
    del machine
    return arguments[0] if arguments else ()


def _typed(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """`_rebuild_from_type_v2(function, type, arguments, state)`: tensors with attributes."""
    function, kind, inner = (*arguments, None, None, None)[:3]
    name = kind.name if isinstance(kind, Global) else "torch._tensor._rebuild_from_type_v2"
    plain = name in ("torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter")
    known = TENSORS.get(function.name) if isinstance(function, Global) else None
    if not plain or known is None or known is _typed or not isinstance(inner, tuple):
        return Inert(name)
    return known(machine, inner)


def _from_numpy(machine: Machine, arguments: tuple[Any, ...]) -> Any:
    """Tensors of XLA devices, which torch keeps as numpy arrays."""
    del machine
    array = arguments[0] if arguments else None
    return array if isinstance(array, Array) else Inert("torch._utils._rebuild_device_tensor")


TENSORS: dict[str, Call] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _young_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._utils._rebuild_device_tensor_from_numpy": _from_numpy,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "torch.Size": _first,
}
