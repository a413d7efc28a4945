"""Files: what is read, what is refused, and that nothing in them runs."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.weights.files import load, save

ARRAYS = {
    "a.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.asarray([1.5, -2.0]),
    "n": np.asarray(7, np.int64),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_what_is_saved_comes_back(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save(ARRAYS, path)
    found = load(path)
    assert set(found) == set(ARRAYS)
    for name, value in ARRAYS.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)
    with pytest.raises(UsageError, match="exists already"):
        save(ARRAYS, path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


class Global:
    """Pickles as the global `module.name`."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """Pickles as a call of a global."""

    def __init__(self, module, name, *arguments):
        self.function, self.arguments = Global(module, name), arguments


class Storage:
    """Pickles as torch's persistent id of a storage."""

    def __init__(self, kind, key, count):
        self.kind, self.key, self.count = Global("torch", kind), key, count


class Pickler(pickle._Pickler):  # the Python one: its dispatch can write names that do not exist
    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", obj.kind, obj.key, "cpu", obj.count)
        return None

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(b"R")
        else:
            super().save(obj, save_persistent_id)


def torch_file(path, content, storages=(), compression=zipfile.ZIP_STORED):
    """A zip as torch.save writes it."""
    stream = io.BytesIO()
    Pickler(stream, 2).dump(content)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for key, data in storages:
            archive.writestr(f"archive/data/{key}", data)
    return path


def tensor(kind, key, count, offset, size, stride):
    storage = Storage(kind, key, count)
    return Call("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, {})


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
    found = load(torch_file(tmp_path / "a.pth", content, storages))
    np.testing.assert_array_equal(found["plain"], values.reshape(3, 4))
    np.testing.assert_array_equal(found["transposed"], values.reshape(3, 4)[:3, 1:3].T)
    np.testing.assert_array_equal(found["bf16"].astype(np.float32), [1.0, 0.5])
    assert int(found["scalar"]) == 9


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("posix", "system"), ("torch", "load"),
     ("numpy.core.multiarray", "_reconstruct"), ("collections", "namedtuple")],
)  # fmt: skip
def test_a_hostile_pickle_is_refused_by_name_and_runs_nothing(tmp_path, module, name):
    mark = tmp_path / "ran"
    content = {"w": Call(module, name, f"touch {mark}")}
    with pytest.raises(UsageError, match=rf"refused: its pickle names {module}\.{name}"):
        load(torch_file(tmp_path / "evil.pt", content))
    assert not mark.exists()


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path):
    content = {"w": tensor("FloatStorage", "0", 4, 2, (4,), (1,))}
    data = [("0", np.zeros(4, np.float32).tobytes())]
    with pytest.raises(UsageError, match="reaches to 5 in a storage of 4"):
        load(torch_file(tmp_path / "a.pt", content, data))
    content = {"w": tensor("FloatStorage", "0", 4, 0, (4,), (-1,))}
    with pytest.raises(UsageError, match="stride"):
        load(torch_file(tmp_path / "b.pt", content, data))
    content = {"w": tensor("FloatStorage", "0", 9, 0, (4,), (1,))}
    with pytest.raises(UsageError, match="holds 4 of 9 values"):
        load(torch_file(tmp_path / "c.pt", content, data))


def test_a_compressed_archive_is_refused_unread(tmp_path):
    path = torch_file(tmp_path / "bomb.pt", {"w": [0] * 10**5}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UsageError, match="compressed"):
        load(path)


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
        torch_file(whole, {"w": tensor("FloatStorage", "0", 400, 0, (400,), (1,))}, data)
    else:
        save({"w": np.zeros(400, np.float32)}, whole)
    cut = tmp_path / f"cut{suffix}"
    for share in (0.3, 0.9):
        cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        with pytest.raises(UsageError, match="not a whole"):
            load(cut)


def test_pickled_arrays_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.asarray([{}], object))
    with pytest.raises(UsageError, match="not a whole"):
        load(tmp_path / "a.npz")


def test_other_endings_are_refused(tmp_path):
    (tmp_path / "a.ckpt").write_text("x")
    with pytest.raises(UsageError, match=r"must end in \.safetensors, \.npz, \.pt"):
        load(tmp_path / "a.ckpt")
    with pytest.raises(UsageError, match=r"must end in \.safetensors or \.npz"):
        save(ARRAYS, tmp_path / "a.pt")
