"""The same few pictures in every batch, spread over devices and hosts."""

import itertools

import numpy as np
import pytest

from jresnet.data.one_batch import OneBatch
from jresnet.errors import UsageError
from jresnet.train.data import Data


def data(count=3, rows=None):
    pictures = np.arange(count * 4 * 5 * 3).reshape(count, 4, 5, 3).astype(np.uint8)
    return OneBatch(pictures, tuple("abcdefgh"[:count]), rows)


def test_every_batch_is_all_pictures():
    fixed: Data = data()
    fixed.check()
    first, later = (next(fixed.train(start, (0, 1))) for start in (0, 7))
    for name in ("image", "row", "share"):
        np.testing.assert_array_equal(first[name], later[name])
        shape = fixed.example_batch[name]
        assert (shape.shape, shape.dtype) == (first[name].shape, first[name].dtype)
    np.testing.assert_array_equal(first["row"], [0, 1, 2])
    np.testing.assert_array_equal(first["share"], 1.0)


def test_a_larger_batch_repeats_pictures_whose_shares_add_up_to_one():
    batch = next(data(3, 8).train())
    np.testing.assert_array_equal(batch["row"], [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_allclose(np.bincount(batch["row"], batch["share"]), 1.0)
    np.testing.assert_array_equal(batch["image"], data().pictures[batch["row"]])
    with pytest.raises(UsageError, match="batch_size=2: expected at least 3, all pictures at once"):
        data(3, 2).check()


def test_hosts_share_a_batch():
    whole = next(data(3, 8).train())
    parts = [next(itertools.islice(data(3, 8).train(0, (h, 4)), 1, None)) for h in range(4)]
    for name, rows in whole.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), rows)


def test_an_evaluation_has_each_picture_once():
    (batch,) = data(3, 8).examples("test")
    real = batch["valid"] > 0
    np.testing.assert_array_equal(batch["index"][real], [0, 1, 2])
    assert data(3, 8).size("test") == 3
    assert data().source("test").describe(1) == "b"


def test_pictures_without_names_are_refused():
    with pytest.raises(UsageError, match=r"names=\('a',\): expected 2"):
        OneBatch(np.zeros((2, 4, 4, 3), np.uint8), ("a",))
