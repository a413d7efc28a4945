"""Nets whose output is a picture: PyTorch's get the same weights, and give the same pictures."""

import numpy as np
import pytest

from jresnet.benchmark import beside, pictures
from jresnet.benchmark.cases import CASES
from jresnet.benchmark.timing import MODES, OURS
from jresnet.models import zoo
from jresnet.weights import to_torch
from tests.nets import random_variables

NETS = {"MSRResNet": zoo.msrresnet_x4, "Johnson": zoo.johnson}


@pytest.mark.parametrize("name", ["msrresnet_x4", "johnson"])
@pytest.mark.parametrize("mode", ["infer", pytest.param("train", marks=pytest.mark.slow)])
def test_our_row_alone_where_pytorch_is_missing(name, mode, monkeypatch):
    monkeypatch.setattr(pictures, "PATCH", 12)
    monkeypatch.setattr(pictures, "PAINTED", 16)
    rows = dict(CASES[name].contestants(mode, 1, None, np.float32))
    assert list(rows) == [OURS]
    rows[OURS].run(2)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_pytorch_s_net_gives_the_same_pictures(name):
    torch = pytest.importorskip("torch", reason="PyTorch, the peer, is not installed")
    theirs = beside.peer_module("torch_pictures")
    net = NETS[name]()
    variables = random_variables(net, (16, 20, 3))
    images = np.random.default_rng(0).random((2, 16, 20, 3), np.float32)
    ours = np.asarray(net.apply(variables, images, train=False))
    peer = theirs.loaded(name, to_torch(variables, net)).eval()
    with torch.inference_mode():
        output = peer(torch.tensor(images).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, output, atol=1e-4 * np.abs(output).max())
    for mode in MODES:
        rows = dict(pictures.picture_net(net, 16, ours.shape[1] // 16, mode, 1, theirs))
        rows[theirs.NAME].run(1)
