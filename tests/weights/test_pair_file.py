"""InsightFace's files of pairs: as they are pickled, and as an attacker would."""

import pickle

import numpy as np
import pytest

from jresnet.errors import UsageError
from jresnet.weights.pair_file import read_pair_file

PICTURES = [f"\xff\xd8 {n}".encode("latin1") for n in range(40)]
SAME = [n % 2 == 0 for n in range(20)]


def objects(values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


# Pictures and answers as scripts have made such files.
KINDS = {
    "bytes and bools": (PICTURES, SAME),
    "arrays of bytes": ([np.frombuffer(p, np.uint8) for p in PICTURES], SAME),
    "bytearrays and numpy's bools": ([*map(bytearray, PICTURES)], [*map(np.bool_, SAME)]),
    "tuples and numpy's numbers": (tuple(PICTURES), tuple(np.int64(n) for n in SAME)),
    "arrays of objects": (objects(PICTURES), objects(SAME)),
    "an array of arrays": (objects([np.frombuffer(p, np.uint8) for p in PICTURES]), np.array(SAME)),
}


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_pickles_of_any_protocol(tmp_path, protocol, kind):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(KINDS[kind], protocol))
    read = read_pair_file(path)
    assert read.pictures == PICTURES
    assert read.same.tolist() == SAME
    assert read.fold.tolist() == [n // 2 for n in range(20)]


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_run(tmp_path):
    path, victim = tmp_path / "lfw.bin", tmp_path / "victim"
    path.write_bytes(pickle.dumps(([Attack(victim)] * 2, [True])))
    with pytest.raises(UsageError, match="expected a pickle of encoded pictures"):
        read_pair_file(path)
    assert not victim.exists()


@pytest.mark.parametrize(
    "value",
    [
        None,
        (PICTURES, SAME[:-1]),
        (PICTURES, [2] * 20),
        ([], []),
        [PICTURES],
        (3, 4),
        (objects(PICTURES).reshape(2, 20), SAME),
        (PICTURES, objects([None] * 20)),
        (PICTURES, [np.float64("nan")] * 20),
        (PICTURES, [np.datetime64(0, "s")] * 20),
    ],
)
def test_something_else_is_refused(tmp_path, value):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(UsageError, match="expected a pickle"):
        read_pair_file(path)


@pytest.mark.parametrize(
    ("same", "told"),
    [([True], "1 fold, each pair of one person"), ([False] * 20, "10 folds, each pair of two people")],
)  # fmt: skip
def test_pairs_that_cannot_be_scored_are_refused(tmp_path, same, told):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((PICTURES[: 2 * len(same)], same)))
    with pytest.raises(UsageError, match=rf"lfw.bin: {told}; expected 2 or more, with pairs of"):
        read_pair_file(path)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((PICTURES, SAME))[:100])
    with pytest.raises(UsageError, match="not a readable file of pairs"):
        read_pair_file(path)
    with pytest.raises(UsageError, match=r"none.bin: no such file; expected a .bin file of pairs$"):
        read_pair_file(tmp_path / "none.bin")
