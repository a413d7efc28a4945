"""Torch's files: what is read of them, that nothing in them runs, and that they cannot lie."""

import pickle
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.weights import inert
from jresnet.weights.files import load
from tests.weights.torch_files import (
    Call,
    Global,
    Storage,
    pickled,
    tensor,
    tensors,
    torch_legacy,
    torch_zip,
)

ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn1.bias": np.asarray([0.5, -2.0], np.float32),
}
FOUR = [("0", np.zeros(4, np.float32).tobytes())]


def same(found, wanted=ARRAYS):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def as_zip(path, content, storages):
    return torch_zip(path, content, [(key, array.tobytes()) for key, array in storages])


def as_legacy(path, content, storages):
    return torch_legacy(path, content, storages)


FORMS = {"zip": as_zip, "legacy": as_legacy}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin", ".th", ".pth.tar", ".ckpt", ".pkl"])
def test_both_forms_under_every_ending(tmp_path, form, ending):
    content, storages = tensors(ARRAYS, *([None] if form == "legacy" else []))
    same(load(FORMS[form](tmp_path / f"a{ending}", content, storages)))


def test_views_of_the_old_form(tmp_path):
    """A storage that is part of another: (key, first value, count)."""
    values = np.arange(12, dtype=np.float32)
    view = tensor("FloatStorage", "0", 12, 1, (2, 2), (1, 2), ("v", 3, 6))
    path = torch_legacy(tmp_path / "a.pth", {"w": view}, [("0", values)])
    np.testing.assert_array_equal(load(path)["w"], [[4, 6], [5, 7]])
    for beyond, words in (
        (("v", 7, 6), "a view reaches to 13 in a storage of 12"),
        (("v", -1, 4), "below 0"),
        ("v", "whole numbers"),
    ):
        content = {"w": tensor("FloatStorage", "0", 12, 0, (4,), (1,), beyond)}
        torch_legacy(path, content, [("0", values)])
        with pytest.raises(UsageError, match=words):
            load(path)


BESIDE = {
    "args": Call("argparse", "Namespace", state={"lr": 0.1}),
    "best": Call("numpy.core.multiarray", "scalar", Call("numpy", "dtype", "f8"), "12345678"),
    "counter": Call("collections", "Counter", {"a": 1}),
    "default": Call("collections", "defaultdict", Global("builtins", "list")),
    "set": Call("builtins", "set", [1, 2]),
    "device": Call("torch", "device", "cpu"),
    "dtype": Global("torch", "float32"),
    "path": Call("pathlib", "PosixPath", "a", "b"),
    "date": Call("datetime", "datetime", b"1234567890"),
    "omegaconf": Call("omegaconf.dictconfig", "DictConfig", state={"_content": {}}),
    "lightning": Call("pytorch_lightning.utilities.parsing", "AttributeDict", state={"lr": 1}),
    "loss": Call("torch.nn.modules.loss", "CrossEntropyLoss", state={"training": True}),
    "hostile": Call("os", "system", "touch ran"),
    "complex": Call("builtins", "complex", 1.0, 2.0),
    "shape": Call("torch", "Size", (1, 2)),
    "epoch": 3,
    "big": 2**90,
    "none": None,
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_stands_beside_the_weights_is_passed_over(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    state, storages = tensors(ARRAYS)
    path = FORMS[form](tmp_path / "a.pth", BESIDE | {"state_dict": state}, storages)
    modules = set(sys.modules)
    same(load(path))
    assert set(sys.modules) == modules  # nothing was even imported
    assert not (tmp_path / "ran").exists()
    # In a state dict as well, where no weight is called so.
    same(load(FORMS[form](path, BESIDE | state, storages)))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_numpy_arrays(tmp_path, protocol):
    """As detectron2 publishes; in Fortran's order and a foreign byte order too."""
    arrays = ARRAYS | {
        "f.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "big.weight": np.arange(3, dtype=">f4"),
        "count": np.asarray(7, np.int64),
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "me"}, protocol))
    same(load(path), arrays)
    path.write_bytes(pickle.dumps({"w.weight": np.asarray([{}, []], object)}, protocol))
    with pytest.raises(UsageError, match=r"'w.weight' is no tensor"):
        load(path)


def test_an_array_of_another_size_than_its_bytes(tmp_path):
    path = tmp_path / "a.pkl"
    whole = pickle.dumps({"w.weight": np.arange(4, dtype=np.int32)}, 2)
    for shape in (b"K\x03", b"K\x05", b"J\xff\xff\xff\x7f"):
        path.write_bytes(whole.replace(b"K\x01K\x04\x85", b"K\x01" + shape + b"\x85"))
        with pytest.raises(UsageError, match=r"an array of int32 \(\d+,\) in 16 bytes"):
            load(path)


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema"])
def test_the_average_is_taken_and_said(tmp_path, caplog, key):
    state, storages = tensors(ARRAYS | {"old": np.zeros(1)})
    average = {name: state[name] for name in ARRAYS}
    old = {"conv1.weight": state["old"]}
    path = as_zip(tmp_path / "a.pth", {"state_dict": old, "model": old, key: average}, storages)
    same(load(path))
    assert f"the checkpoint's average is taken: its {key!r}, as timm does" in caplog.text
    as_zip(path, {"state_dict": state, key: None}, storages)
    assert "old" in load(path)


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("posix", "system"), ("torch", "load"),
     ("torch._utils", "_rebuild_qtensor"), ("collections", "namedtuple"), ("mine", "Tensor")],
)  # fmt: skip
def test_weights_that_a_call_would_make_are_refused_by_its_name(tmp_path, module, name):
    mark = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    call = Call(module, name, f"touch {mark}")
    state, storages = tensors(ARRAYS)
    as_zip(path, state | {"fc.weight": call}, storages)
    with pytest.raises(
        UsageError, match=rf"'fc.weight' is no tensor: it is what {module}\.{name} makes"
    ):
        load(path)
    for content in (call, {"w": call}, {"model": call}):
        torch_zip(path, content)
        with pytest.raises(UsageError, match=rf"no state dict.* what {module}\.{name} makes"):
            load(path)
    assert not mark.exists()


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"w": tensor("FloatStorage", "0", 4, 2, (4,), (1,))}, "reaches to 5 in a storage of 4"),
        ({"w": tensor("FloatStorage", "0", 4, 0, (4,), (-1,))}, "stride below 0"),
        ({"w": tensor("FloatStorage", "0", 4, -1, (1,), (1,))}, "stride below 0"),
        ({"w": tensor("FloatStorage", "0", 4, 0, (2,), (1, 1))}, "size (2,) and stride (1, 1)"),
        ({"w": tensor("FloatStorage", "0", 4, 0, (2**63,), (0,))}, "beyond 2^62"),
        ({"w": tensor("FloatStorage", "0", 4, 0, (1,) * 65, (1,) * 65)}, "at most 64"),
        ({"w": tensor("FloatStorage", "0", 4, 0, 4, (1,))}, "no tuple"),
        ({"w": tensor("FloatStorage", "0", 4, True, (4,), (1,))}, "whole numbers"),
        ({"w": tensor("FloatStorage", "0", 9, 0, (4,), (1,))}, "holds 4 of 9 values"),
        ({"w": tensor("DoubleStorage", "0", 4, 0, (4,), (1,))}, "holds 2 of 4 values"),
        ({"w": tensor("FloatStorage", "1", 4, 0, (4,), (1,))}, "there is no storage '1'"),
        # 500 bytes that claim gigabytes: stride 0, many tensors of one storage.
        ({"w": tensor("FloatStorage", "0", 4, 0, (2**30,), (0,))}, "claim 4,294,967,296 bytes"),
        (
            {f"{i}": tensor("FloatStorage", "0", 4, 0, (4, 150), (1, 0)) for i in range(150)},
            "claim 360,000 bytes",
        ),
        # A tensor, or a view of one with stride 0, as another's storage.
        (
            {"w": Call("torch._utils", "_rebuild_tensor_v2",
                       tensor("FloatStorage", "0", 4, 0, (2**20,), (0,)), 0, (2**20,), (1,))},
            "something that is no storage",
        ),
        (
            {"w": Call("torch._utils", "_rebuild_tensor_v2",
                       Call("torch._utils", "_rebuild_parameter",
                            tensor("FloatStorage", "0", 4, 0, (4,), (1,))), 0, (2,), (1,))},
            "something that is no storage",
        ),
        ({"w": Call("torch._utils", "_rebuild_tensor_v2", [1.0], 0, (1,), (1,))}, "no storage"),
        ({"w": Storage("FloatStorage", 0, 4)}, "no storage"),
    ],
)  # fmt: skip
def test_sizes_strides_and_offsets_are_checked_against_the_storage(tmp_path, content, words):
    path = torch_zip(tmp_path / "a.pth", content, FOUR)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_pickle_builds_changes_nothing_for_the_next_file(tmp_path):
    """BUILD with a state on every global, storage, tensor and container that the reader knows."""
    state, storages = tensors(ARRAYS)
    names = ["torch FloatStorage", *(name.replace(".", " ", 1) for name in inert.CONTAINERS)]
    poison = b"\x80\x02]("
    for name in names:
        module, attribute = name.rsplit(" ", 1)
        poison += f"c{module}\n{attribute}\n".encode() + b"}X\x05\x00\x00\x00dtypeK\x01sb"
    poison += STORAGE + b"}X\x05\x00\x00\x00countJ\xff\xff\xff\x7fsb"
    poison += b"e."
    with pytest.raises(UsageError, match="no state dict"):
        load(torch_zip(tmp_path / "evil.pth", poison, FOUR))
    same(load(as_zip(tmp_path / "a.pth", state, storages)))


def peak(path):
    """The most memory that reading a file takes, whatever becomes of it."""
    tracemalloc.start()
    try:
        with pytest.raises(UsageError) as caught:
            load(path)
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


LONG = (2**31 - 16).to_bytes(4, "little")
BOMBS = {
    "a memo index": b"\x80\x02N" + b"r" + (2**27).to_bytes(4, "little") + b".",
    "bytes": b"\x80\x02B" + LONG + b"x.",
    "text": b"\x80\x02X" + LONG + b"x.",
    "a frame": b"\x80\x04\x95" + (2**40).to_bytes(8, "little") + b"N.",
    "bytes of 8": b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.",
    "a number": b"\x80\x02\x8b" + LONG + b"x.",
    "marks": b"\x80\x02" + b"(" * 10**5 + b".",
    "nesting": b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
    "doubled tuples": b"\x80\x02)" + b"2\x86" * 200 + b"}" + b"N" + b"N" + b"s" + b"0.",
    # One text of 100 kB, encoded and made a dict again and again.
    "copies": b"\x80\x02X\xa0\x86\x01\x00" + b"a" * 10**5 + b"q\x00]("
    + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 5000 + b"e.",
    "copied pairs": b"\x80\x02](" + b"](NNe" * 10**4 + b"eq\x00]("
    + b"ccollections\nOrderedDict\nh\x00\x85R" * 5000 + b"e.",
    "an array": pickle.dumps(None, 2)[:-2]
    + b"cnumpy.core.numeric\n_frombuffer\n(C\x01xcnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R"
    + b"\x8a\x05\x00\x00\x00\x00\x01\x85X\x01\x00\x00\x00CtR.",
}  # fmt: skip


@pytest.mark.parametrize("form", ["zip", "plain"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_is_bounded_by_the_file(tmp_path, form, bomb):
    path = tmp_path / "bomb.pth"
    if form == "zip":
        torch_zip(path, BOMBS[bomb], FOUR)
    else:
        path.write_bytes(BOMBS[bomb])
    taken, message = peak(path)
    assert taken < 200 * path.stat().st_size + 2**20, message
    assert len(message.splitlines()) == 1


def test_keys_that_are_slow_to_hash_are_not_hashed(tmp_path):
    """Tuples doubled sixty times would take longer than anybody lives."""
    program = b"\x80\x02})" + b"2\x86" * 60 + b"Ns."
    _, message = peak(torch_zip(tmp_path / "a.pth", program))
    assert "holds no state dict" in message


def test_a_pickle_of_too_many_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(inert, "INSTRUCTIONS", 1000)
    _, message = peak(torch_zip(tmp_path / "a.pth", b"\x80\x02" + b"N" * 2000 + b"."))
    assert "more than 1,000 steps" in message


def test_a_zip_that_lies(tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(UsageError, match="is compressed, which torch does not do"):
        load(torch_zip(path, {"w": [0] * 10**5}, compression=zipfile.ZIP_DEFLATED))
    whole = torch_zip(path, tensors(ARRAYS)[0], FOUR).read_bytes()
    # The sizes of the first entry of the central directory, then its encryption bit.
    central = whole.index(b"PK\x01\x02")
    for place, value, words in (
        (20, LONG, "claims another size than it has"),
        (24, LONG, "claims another size than it has"),
        (8, b"\x01\x00", "is encrypted"),
    ):
        lying = bytearray(whole)
        lying[central + place : central + place + len(value)] = value
        path.write_bytes(lying)
        taken, message = peak(path)
        assert words in message
        assert taken < 2**20
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inner.zip", whole)
    with pytest.raises(UsageError, match=r"a zip with 0 data.pkl, expected one"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled({}))
        archive.writestr("b/data.pkl", pickled({}))
    with pytest.raises(UsageError, match=r"a zip with 2 data.pkl, expected one"):
        load(path)


def test_an_old_file_that_lies(tmp_path):
    content, storages = tensors(ARRAYS)
    path = tmp_path / "a.pth"
    for counts in ((2**40, 2), (-1, 2), (24, 3)):
        torch_legacy(path, content, storages, counts=counts)
        taken, message = peak(path)
        assert "is cut short" in message
        assert taken < 2**20
    torch_legacy(path, content, storages, counts=(23, 2))
    with pytest.raises(UsageError, match="not a whole"):
        load(path)
    for keys in (storages[:1], [*storages, storages[0]], [("9", storages[0][1]), *storages]):
        torch_legacy(path, content, keys)
        with pytest.raises(UsageError, match=r"there is no storage|not that of its tensors"):
            load(path)
    torch_legacy(path, content, storages, little=False)
    with pytest.raises(UsageError, match="byte order is not little"):
        load(path)
    both = {"a": tensors(ARRAYS)[0], "w": tensor("DoubleStorage", "0", 4, 0, (4,), (1,), None)}
    with pytest.raises(UsageError, match="storage '0' has two types"):
        load(torch_legacy(path, both, storages))
    odd = {"w": tensor("QInt8Storage", "0", 4, 0, (4,), (1,), None)}
    with pytest.raises(UsageError, match=r"storages of type torch\.QInt8Storage"):
        load(torch_legacy(path, odd, storages))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"sys_info".ljust(257, b"\0") + b"ustar\0", "a tar, as torch before 0.1.10 wrote"),
        (b"\x89PNG\r\n\x1a\n", "it starts with"),
    ],
)
def test_files_of_another_kind_are_called_so(tmp_path, head, words):
    path = tmp_path / "a.pth"
    path.write_bytes(head)
    with pytest.raises(UsageError, match=f"no torch file: .*{words}"):
        load(path)


def test_names_reach_the_terminal_harmless(tmp_path):
    for name in ("\x1b[31mred.weight", "two\nlines.weight"):
        with pytest.raises(UsageError) as caught:
            load(torch_zip(tmp_path / "a.pth", {name: Call("a\x1b[0m", "b")}))
        assert str(caught.value).isprintable()
