"""Nets for faces beside PyTorch's."""

import numpy as np
import pytest

from jresnet.benchmark import faces
from jresnet.benchmark.beside import peer_module
from jresnet.benchmark.timing import MODES, OURS
from jresnet.models import zoo
from jresnet.weights import to_torch
from tests.nets import random_variables


def tiny(**fields):
    return zoo.iresnet((1, 1, 1, 1), **fields)


@pytest.mark.parametrize("mode", ["infer", pytest.param("train", marks=pytest.mark.slow)])
def test_our_row_alone_where_pytorch_is_missing(mode, monkeypatch):
    monkeypatch.setattr(faces, "SIDE", 16)
    monkeypatch.setattr(faces, "PEOPLE", 20)
    rows = dict(faces.face_net(tiny, mode, 2, None, np.float32))
    assert list(rows) == [OURS]
    rows[OURS].run(2)


@pytest.mark.slow
def test_pytorch_s_net_gives_the_same_embeddings():
    torch = pytest.importorskip("torch", reason="PyTorch is for comparisons by hand")
    theirs = peer_module("torch_faces")
    net = tiny()
    variables = random_variables(net, (32, 32, 3))
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    peer = theirs.IResNet((1, 1, 1, 1), 32).eval()
    state = to_torch(variables, net)
    peer.load_state_dict({key: torch.tensor(value) for key, value in state.items()})
    with torch.inference_mode():
        expected = peer(torch.tensor(images).permute(0, 3, 1, 2)).numpy()
    actual = np.asarray(net.apply(variables, images, train=False))
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
    for mode in MODES:
        label = np.array([3, 7], np.int32)
        theirs.face_net((1, 1, 1, 1), state, images, label, mode, 20, 0.1).run(1)
