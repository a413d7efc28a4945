"""Torch's files that lie: sizes, strides, offsets, lengths, and states for what is shared."""

import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.weights import inert
from jresnet.weights.files import load
from jresnet.weights.torch_file import CALLS
from tests.weights.test_torch_file import ARRAYS, as_zip, same
from tests.weights.torch_files import (
    Call,
    Storage,
    pickled,
    tensor,
    tensors,
    torch_legacy,
    torch_zip,
)

FOUR = [("0", np.zeros(4, np.float32).tobytes())]
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
    names = ["torch.FloatStorage", *CALLS]
    poison = b"\x80\x02]("
    for name in names:
        module, attribute = name.rsplit(".", 1)
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
