"""Torch's files: what is read of them, that nothing in them runs, and that they cannot lie."""

import pickle
import sys

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.weights.files import load
from tests.weights.torch_files import (
    Call,
    Global,
    pickled,
    pickled_tensors,
    tensor,
    tensors,
    torch_legacy,
    torch_zip,
)

ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn1.bias": np.asarray([0.5, -2.0], np.float32),
}


def same(loaded, wanted=ARRAYS):
    assert loaded.keys() == wanted.keys()
    for name, value in wanted.items():
        assert loaded[name].dtype == value.dtype
        np.testing.assert_array_equal(loaded[name], value)


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
    """The form that detectron2 publishes; in Fortran's order and a foreign byte order too."""
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


def test_pickled_tensors(tmp_path):
    """The form of `pickle.dump` of a state dict: each storage is a file of the old form."""
    content = pickled_tensors(ARRAYS, tmp_path)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickled(content))
    same(load(path))
    for wrong in (b"os.system", torch_legacy(tmp_path / "inner", {"a": 1}).read_bytes()):
        content["bn1.bias"].arguments[0].arguments = (wrong,)
        path.write_bytes(pickled(content))
        with pytest.raises(UsageError, match=r"'bn1.bias' is no tensor: .*_load_from_bytes makes"):
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
