"""torch's files, without torch and without running anything in them.

Three forms are told apart by their first bytes: the zip of torch >= 1.6, with `data.pkl` and raw
storages in `data/`; the form before it, pickles with the raw storages after them; and a plain
pickle of tensors or numpy arrays. Only the storages of the weights themselves are read.
"""

import contextlib
import dataclasses
import functools
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jresnet.weights.clamped import Clamped
from jresnet.weights.containers import CONTAINERS
from jresnet.weights.inert import Inert, Machine, RefusedError
from jresnet.weights.pickled_arrays import ARRAYS, Array
from jresnet.weights.state_dict import find_state_dict
from jresnet.weights.tensors import TENSORS, Storage, Tensor, check_block, storage_of

CALLS = CONTAINERS | ARRAYS | TENSORS
# The pickled number 0x1950A86A20F9469CFC6C.
LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
# A checkpoint's tensors seldom share storages: tied weights, an average beside its source.
MULTIPLE = 8
ORDER = "refused: its byte order is not little, the only one that is read"


class Content(NamedTuple):
    """The object that a file holds, and a function from a storage's key to its bytes."""

    value: Any
    block: Callable[[str], bytes]


def load(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a torch file, by name; of a training checkpoint those of its state dict.

    Memory is bounded by a small multiple of the file's size. Raises RefusedError for a file that
    is whole and holds no such thing, and any exception for a broken one.
    """
    size = path.stat().st_size
    with Clamped(path) as file:
        head = file.read(512)
        file.seek(0)
        if head.startswith(b"PK"):
            opened = _zip(file, size)
        elif head.startswith(LEGACY):
            opened = contextlib.nullcontext(_legacy(file, size))
        elif head.startswith(b"\x80"):
            opened = contextlib.nullcontext(_plain(file, size))
        else:
            raise RefusedError(_not_torch(head))
        with opened as content:
            return realise(find_state_dict(content.value), content.block, MULTIPLE * size)


def realise(
    state: dict[str, Tensor | Array], block: Callable[[str], bytes], limit: int
) -> dict[str, np.ndarray]:
    """The arrays of a state dict, each storage read once. Raises RefusedError beyond `limit` bytes."""
    total = sum(v.nbytes if isinstance(v, Tensor) else _array(v).nbytes for v in state.values())
    if total > limit:
        raise RefusedError(
            f"refused: its tensors claim {total:,} bytes, more than {MULTIPLE} times the file's"
        )
    arrays: dict[str, np.ndarray] = dict.fromkeys(state)  # type: ignore[arg-type]
    by_key: dict[str, list[str]] = {}
    for name, value in state.items():
        if isinstance(value, Tensor):
            by_key.setdefault(value.storage.key, []).append(name)
        else:
            arrays[name] = _array(value).copy()
    for key, names in by_key.items():
        data = block(key)
        for name in names:
            tensor = state[name]
            assert isinstance(tensor, Tensor)
            check_block(tensor.storage, len(data))
            arrays[name] = tensor.read(data)
    return arrays


def _array(value: Array) -> np.ndarray:
    assert value.value is not None  # `find_state_dict` refuses others
    return value.value


@contextlib.contextmanager
def _zip(file: IO[bytes], size: int) -> Iterator[Content]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        pickles = [name for name in entries if name.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise RefusedError(f"no torch file: a zip with {len(pickles)} data.pkl, expected one")
        root = pickles[0].removesuffix("data.pkl")

        def read(name: str) -> bytes:
            _check_entry(entries[name], size)
            return archive.read(name)

        if f"{root}byteorder" in entries and read(f"{root}byteorder") != b"little":
            raise RefusedError(ORDER)
        blocks = {
            name.removeprefix(f"{root}data/"): entry.file_size
            for name, entry in entries.items()
            if name.startswith(f"{root}data/")
        }
        machine = Machine(CALLS, size, functools.partial(storage_of, sizes_of=blocks))
        value = machine.run(io.BytesIO(read(pickles[0])))
        yield Content(value, lambda key: read(f"{root}data/{key}"))


def _check_entry(entry: zipfile.ZipInfo, size: int) -> None:
    # torch stores and does not compress; a small file cannot become a large one.
    if entry.compress_type != zipfile.ZIP_STORED:
        raise RefusedError(
            f"refused: its {entry.filename!r} is compressed, which torch does not do"
        )
    if entry.flag_bits & 1:
        raise RefusedError(f"refused: its {entry.filename!r} is encrypted")
    if entry.compress_size != entry.file_size or entry.file_size > size:
        raise ValueError(f"{entry.filename!r} claims another size than it has")


def _legacy(file: IO[bytes], size: int) -> Content:
    """Magic number, protocol, system, the object, keys of storages, and each storage."""
    storages: dict[str, np.dtype] = {}

    def persistent(pid: Any) -> Any:
        storage = storage_of(pid)
        if isinstance(storage, Inert):  # its length in the file depends on the type
            raise RefusedError(f"refused: its pickle has storages of type {storage.name}")
        if isinstance(storage, Storage):
            known = storages.setdefault(storage.key, storage.dtype)
            if known != storage.dtype:
                raise ValueError(f"storage {storage.key!r} has two types")
        return storage

    def pickled(persistent: Callable[[Any], Any] | None = None) -> Any:
        return Machine(CALLS, size, persistent).run(file)

    pickled()
    pickled()
    system = pickled()
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise RefusedError(ORDER)
    value = pickled(persistent)
    keys = pickled()
    places: dict[str, tuple[int, int]] = {}
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, str) or key not in storages or key in places:
            raise ValueError("its list of storages is not that of its tensors")
        count = int.from_bytes(file.read(8), "little", signed=True)
        places[key] = (file.tell(), count * storages[key].itemsize)
        if not 0 <= places[key][1] <= size - file.tell():
            raise ValueError(f"storage {key} is cut short")
        file.seek(places[key][1], io.SEEK_CUR)

    def block(key: str) -> bytes:
        if key not in places:
            raise ValueError(f"there is no storage {key!r}")
        begin, length = places[key]
        file.seek(begin)
        return file.read(length)

    return Content(value, block)


def _plain(file: IO[bytes], size: int) -> Content:
    """A pickle that torch did not write; tensors in it hold their storages as legacy files."""
    blocks: dict[str, bytes] = {}

    def nested(machine: Machine, arguments: tuple[Any, ...]) -> Any:
        data = arguments[0] if arguments else None
        if not isinstance(data, bytes) or not data.startswith(LEGACY):
            return Inert("torch.storage._load_from_bytes")
        machine.spend(3 * len(data))
        inner = _legacy(io.BytesIO(data), len(data))
        if not isinstance(inner.value, Storage):
            return Inert("torch.storage._load_from_bytes")
        key = str(len(blocks))
        blocks[key] = inner.block(inner.value.key)
        return dataclasses.replace(inner.value, key=key)

    machine = Machine(CALLS | {"torch.storage._load_from_bytes": nested}, size)
    return Content(machine.run(file), blocks.__getitem__)


def _not_torch(head: bytes) -> str:
    """The reason why a file with this beginning is none of torch's."""
    start = head.lstrip()[:40].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        kind = "a web page; the download went wrong"
    elif start.startswith(b"version https://git-lfs"):
        kind = "a pointer of Git LFS; fetch the file itself"
    elif head[257:262] == b"ustar":
        kind = "a tar, as torch before 0.1.10 wrote; save it again with a later torch"
    else:
        kind = f"it starts with {head[:8]!r}"
    return f"no torch file: neither a zip nor a pickle, but {kind}"
