"""What processes compare of their data before they train."""

import numpy as np

from jresnet.data.pipeline import ImageData
from jresnet.run.readiness import data_facts, identity
from tests.train.toy import PLAN, classify


def written(path, labels, seed=0):
    """An .npz whose pictures differ by `seed`."""
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 8, 3), np.uint8)
    arrays = {"images": images, "labels": np.array(labels)}
    np.savez(path, **{f"{split}_{k}": v for split in ("train", "test") for k, v in arrays.items()})
    return data_facts([(classify(), ImageData(str(path), 2), PLAN)])


def test_data_differ_in_size_in_labels_and_in_images(tmp_path):
    path = tmp_path / "a.npz"
    facts = written(path, [0, 1, 0, 1])
    assert written(path, [0, 1, 0, 1]) == facts

    def differing(other):
        return {name for name in facts if facts[name] != other[name]}

    assert "train_examples" in differing(written(path, [0, 1, 0, 1, 1]))
    assert differing(written(path, [1, 0, 0, 1])) == {"train_sample", "test_sample"}
    assert differing(written(path, [0, 1, 0, 1], seed=1)) == {"train_sample", "test_sample"}


def test_runs_differ_in_arguments_and_in_code(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("a = 1")
    first = identity("mine", {"rate": 0.1}, {"workdir": None}, file)
    assert identity("mine", {"rate": 0.1}, {"workdir": None}, file) == first
    assert {"experiment", "rate", "workdir", "jax", "python", "code"} <= set(first)
    file.write_text("a = 2")
    second = identity("mine", {"rate": 0.2}, {"workdir": None}, file)
    assert {name for name in first if first[name] != second[name]} == {"rate", "code"}
