"""The class matrix of face recognition, timed whole and sampled."""

import types

import numpy as np
import pytest

from jresnet.benchmark.beside import peer_module
from jresnet.benchmark.cases import CASES
from jresnet.benchmark.identities import FEATURES, class_matrix
from jresnet.benchmark.timing import OURS


def test_a_tenth_of_the_classes_takes_less_memory_and_the_peer_gets_the_same_faces():
    seen = {}

    def theirs(batch, classes, features, rate):
        seen.update(batch, classes=classes, features=features, rate=rate)
        return "theirs"

    peer = types.SimpleNamespace(NAME="peer", class_matrix=theirs)
    timed = dict(class_matrix(20_000, "train", 16, peer, None))
    assert list(timed) == [OURS, f"{OURS}, a tenth of the classes", "peer"]
    assert (seen["classes"], seen["features"]) == (20_000, FEATURES)
    assert seen["image"].shape[0] == seen["label"].shape[0] == 16
    assert seen["label"].max() < 20_000
    whole, sampled = (timed[name].peak_bytes for name in list(timed)[:2])
    assert whole is not None
    assert sampled is not None
    matrix = 4 * 20_000 * FEATURES
    assert 2 * matrix < sampled < whole  # the matrix and its moments are there in any case
    for name in list(timed)[:2]:
        timed[name].run(2)


def test_the_peer_s_step_learns():
    torch = pytest.importorskip("torch", reason="PyTorch is for comparisons by hand")
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (8, 1, 1, 8), np.uint8),
        "label": np.arange(8, dtype=np.int32),
    }
    peer_module("torch_identities").class_matrix(batch, 20, 16, 0.1).run(2)


def test_both_sizes_are_cases():
    assert CASES["people_1e6"].unit == "faces"
    assert CASES["people_1e5"].modes == ("train",)
