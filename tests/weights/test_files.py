"""Files: what is read, what is refused, and that nothing in them runs."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.weights.files import load, save
from tests.weights.torch_files import tensor, torch_zip

ARRAYS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.asarray([1.5, -2.0]),
    "n": np.asarray(7, np.int64),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_what_is_saved_comes_back(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save(ARRAYS, path)
    loaded = load(path)
    assert set(loaded) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name], value)
    with pytest.raises(UsageError, match="exists already"):
        save(ARRAYS, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_torch_file_with_views_and_types(tmp_path):
    values = np.arange(12, dtype=np.float32)
    half = np.asarray([1.0, 0.5], np.float32).view(np.uint32) >> 16
    content = {
        "state_dict": {
            "plain": tensor("FloatStorage", "0", 12, 0, (3, 4), (4, 1)),
            "transposed": tensor("FloatStorage", "0", 12, 1, (2, 3), (1, 4)),
            "bf16": tensor("BFloat16Storage", "1", 2, 0, (2,), (1,)),
            "scalar": tensor("LongStorage", "2", 1, 0, (), ()),
        },
        "epoch": 3,
    }
    storages = [
        ("0", values.tobytes()),
        ("1", half.astype("<u2").tobytes()),
        ("2", struct.pack("<q", 9)),
    ]
    loaded = load(torch_zip(tmp_path / "a.pth", content, storages))
    np.testing.assert_array_equal(loaded["plain"], values.reshape(3, 4))
    np.testing.assert_array_equal(loaded["transposed"], values.reshape(3, 4)[:3, 1:3].T)
    np.testing.assert_array_equal(loaded["bf16"].astype(np.float32), [1.0, 0.5])
    assert int(loaded["scalar"]) == 9


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".pth"])
def test_absent_empty_and_broken_files_give_one_line_each(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(UsageError, match="no such file"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="the file is empty"):
        load(path)
    path.write_bytes(b"\x80\x02nonsense" * 20)
    with pytest.raises(UsageError, match=f"not a whole {suffix} file") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_a_truncated_file_is_refused(tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".pt":
        data = [("0", np.zeros(400, np.float32).tobytes())]
        torch_zip(whole, {"w": tensor("FloatStorage", "0", 400, 0, (400,), (1,))}, data)
    else:
        save({"w": np.zeros(400, np.float32)}, whole)
    cut = tmp_path / f"cut{suffix}"
    for share in (0.3, 0.9):
        cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        with pytest.raises(UsageError, match="not a whole"):
            load(cut)


def member(array=None, **header):
    """An array as a member of an npz, or a header and four numbers."""
    stream = io.BytesIO()
    if array is not None:
        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=True)
        return stream.getvalue()
    fields = {"descr": "<f4", "fortran_order": False, "shape": (4,)} | header
    np.lib.format.write_array_header_1_0(stream, fields)
    return stream.getvalue() + bytes(16)


def npz(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("w.npy", member(np.asarray([{}], object)), "'w.npy' is of object, no real numbers"),
        ("w.npy", member(["a"]), "'w.npy' is of <U1, no real numbers"),
        ("w.npy", member([1j]), "'w.npy' is of complex128, no real numbers"),
        ("w.npy", member(np.zeros(2, [("a", "f4")])), "no real numbers"),
        ("w.npy", member(descr="|V0", shape=(2**40,)), "no real numbers"),
        ("w.npy", member(shape=(2**40,)), "claims (1099511627776,) of float32 in 16 bytes"),
        ("w.npy", member(shape=(-2, -2)), "not a whole .npz file"),
        ("w.npy", member(shape=(3,)), "claims (3,) of float32 in 16 bytes"),
        ("w.npy", member()[:-3], "claims (4,) of float32 in 13 bytes"),
        ("w.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", "not a whole .npz file"),
        ("w.npy", b"\x93NUMPY\x03\x00", "has version (3, 0)"),
        ("notes.txt", b"hello", "'notes.txt' in it is no array"),
    ],
)
def test_members_of_an_npz_that_are_no_arrays_of_their_size(tmp_path, name, data, words):
    np.testing.assert_array_equal(load(npz(tmp_path / "a.npz", {"w.npy": member()}))["w"], 0)
    with pytest.raises(UsageError) as caught:
        load(npz(tmp_path / "a.npz", {name: data}))
    assert words in str(caught.value)


def test_an_npz_that_grows_is_refused_unread(tmp_path):
    """128 MB of zeros in 128 kB, and an entry that says less than it holds."""
    zeros = member(np.zeros(2**27, np.uint8))
    path = npz(tmp_path / "bomb.npz", {"w.npy": zeros}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match=r"arrays claim 134,217,856 bytes, more than 16,777,216"):
        load(path)
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10_000).to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="not a whole"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()
    for compression in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        npz(path, {"w.npy": member()}, compression)
        with pytest.raises(UsageError, match="encrypted or oddly compressed"):
            load(path)


def safetensors_file(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        {"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]}},
        {"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**40]}},
        {"w": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"w": {"dtype": "F99", "shape": [4], "data_offsets": [0, 16]}},
        {"w": {"dtype": "C64", "shape": [2], "data_offsets": [0, 16]}},
        b"[" * 10**5,
        b"\xff\xfe",
    ],
)
def test_a_safetensors_header_that_lies(tmp_path, header):
    path = safetensors_file(tmp_path / "a.safetensors", header, bytes(16))
    with pytest.raises(UsageError) as caught:
        load(path)
    assert len(str(caught.value).splitlines()) == 1
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(UsageError, match="not a whole"):
        load(path)


def test_types_of_safetensors(tmp_path):
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    path = safetensors_file(tmp_path / "a.safetensors", header, b"\x80\x3f\x00\x3f")
    np.testing.assert_array_equal(load(path)["a"].astype(np.float32), [1.0, 0.5])
    for dtype in ("F8_E4M3", "F8_E5M2"):
        header["a"] |= {"dtype": dtype, "data_offsets": [0, 2]}
        safetensors_file(path, header, b"\x38\xb8")
        with pytest.raises(UsageError, match=rf"'a' is of type {dtype}, expected one of F64, F32"):
            load(path)


def test_other_endings_are_refused(tmp_path):
    (tmp_path / "a.h5").write_text("x")
    with pytest.raises(UsageError, match=r"must end in \.safetensors, \.npz, \.pt, .*\.pth\.tar"):
        load(tmp_path / "a.h5")
    with pytest.raises(UsageError, match=r"must end in \.safetensors or \.npz"):
        save(ARRAYS, tmp_path / "a.pt")
