"""Facts about their data that processes compare before they train."""

import numpy as np

from jresnet.data.pipeline import ImageData
from jresnet.run.command_line import RunOptions
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

    def facts(text, rate):
        file.write_text(text)
        names: dict = {"__name__": "mine"}
        exec(compile(text, file, "exec"), names)
        return identity(names["mine"], {"rate": rate}, RunOptions())

    first = facts("def mine(): return 1", 0.1)
    assert facts("def mine(): return 1", 0.1) == first
    assert {"experiment", "rate", "workdir", "jax", "python", "code"} <= set(first)
    second = facts("def mine(): return 2", 0.2)
    assert {name for name in first if first[name] != second[name]} == {"rate", "code"}
