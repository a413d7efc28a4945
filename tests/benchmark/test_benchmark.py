"""The peers are the same nets; the table holds what was timed."""

import functools
import json

import jax
import numpy as np
import pytest
from flax import linen as nn

from experiments.benchmark import benchmark
from jresnet.benchmark import cases
from jresnet.benchmark.cases import CASES, NETS
from jresnet.benchmark.flax_nets import FlaxResNet
from jresnet.benchmark.jax_nets import synthetic
from jresnet.benchmark.nets_report import rows_of, statement
from jresnet.benchmark.numbers import numbers
from jresnet.benchmark.timing import OURS, Contestant, Timing
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.gates import SkipInit
from jresnet.models.published import abstract_variables
from jresnet.run.command_line import RunOptions, defaults
from jresnet.run.launch import run
from tests.nets import apply, normal, random_variables


def sizes(net, image):
    leaves = jax.tree.leaves(abstract_variables(net, image)["params"])
    return sorted(leaf.shape for leaf in leaves)


@pytest.mark.parametrize("name", NETS)
def test_the_peer_in_flax_has_the_same_parameters(name):
    net, image = CASES[name].net(), CASES[name].image
    peer = FlaxResNet(numbers(net, len(image) - 1))
    assert sizes(peer, image) == sizes(net, image)


@pytest.mark.parametrize("train", [False, True])
def test_the_peer_in_flax_computes_the_same(train):
    net, x = zoo.cifar_resnet(8), normal(4, 16, 16, 3)
    variables = random_variables(net, x.shape[1:])
    copied = {"params": {}, "batch_stats": {}}
    names = [
        ("stem", "conv", "norm"),
        *[(f"stage{s}", f"conv{c}", f"norm{c}") for s in (1, 2, 3) for c in (1, 2)],
    ]
    for number, (part, conv, norm) in enumerate(names):
        for kind, tree in variables.items():
            tree = tree["backbone"][part]
            tree = tree if part == "stem" else tree["block1"]
            copied[kind][f"BatchNorm_{number}"] = tree[norm]
            if kind == "params":
                copied[kind][f"Conv_{number}"] = tree[conv]
    copied["params"]["Dense_0"] = variables["params"]["head"]
    peer = FlaxResNet(numbers(net, 2))
    expected, actual = (apply(n, v, x, train=train) for n, v in ((net, variables), (peer, copied)))
    expected, actual = (e[0] if train else e for e in (expected, actual))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "net",
    [
        zoo.cifar_resnet(8, preactivation=True),
        zoo.cifar_resnet(8, gate=SkipInit),
        zoo.cifar_resnet(8, act=nn.silu),
        zoo.resnet50_gn(),
        zoo.resnetblur50(),
        zoo.plain(zoo.cifar_resnet(8)),
    ],
)
def test_nets_that_the_peers_do_not_have_are_refused(net):
    with pytest.raises(ValueError, match="expected"):
        numbers(net, 2)


def test_a_ratio_is_how_many_times_as_fast_jresnet_is():
    actual = {name: Contestant(lambda n: None, 2.0, 2**30) for name in (OURS, "torch")}
    timings = {OURS: Timing(0.5, 0.4, 0.8), "torch": Timing(1.0, 1.0, 2.0)}
    ours, torch = rows_of("resnet50", "train", 16, actual, timings, 358e6 * 64)
    assert (ours.images_per_second, ours.slowest, ours.fastest) == (32, 20, 40)
    assert (ours.ratio, torch.ratio) == (1, 2)
    assert (ours.roofline, torch.roofline) == (0.5, 0.25)
    assert rows_of("resnet50", "infer", 16, actual, timings, 1e9)[0].roofline is None


@pytest.fixture
def asked_for(monkeypatch):
    """Nets and data that would be timed, by the name of their row."""
    nothing = Contestant(lambda n: None, 0.0, None)
    timed = []
    monkeypatch.setattr(cases, "training", lambda net, batch: timed.append(net) or nothing)
    monkeypatch.setattr(cases, "fed", lambda net, data: timed.append(data) or nothing)

    def names(name, *also):
        timed.clear()
        rows = cases.contestants(CASES[name], "train", 2, False, also, False)
        return dict(zip([row for row, _ in rows], timed, strict=True))

    return names


def test_stages_are_timed_in_every_way_but_the_default_once(asked_for):
    actual = asked_for("cifar_resnet20", "scans")
    assert {row: (net.backbone.scan, net.backbone.remat) for row, net in actual.items()} == {
        OURS: (False, "none"),
        f"{OURS}, scan": (True, "none"),
        f"{OURS}, scan, remat activations": (True, "activations"),
        f"{OURS}, scan, remat blocks": (True, "blocks"),
    }


def test_feeds_and_forms_have_rows_of_their_own(asked_for):
    actual = asked_for("cifar_resnet20", "feeds", "forms")
    assert list(actual)[-2:] == [f"{OURS}, without steps", f"{OURS}, plain forms"]
    assert actual[f"{OURS}, from the host"].resident() is None
    assert actual[f"{OURS}, set on the device"].resident()["image"].shape == (2048, 32, 32, 3)


@pytest.mark.slow
def test_it_times_what_is_asked_for_and_smoke_shortens_it(tmp_path, monkeypatch):
    shallow = CASES["cifar_resnet20"]._replace(net=functools.partial(zoo.cifar_resnet, 8))
    monkeypatch.setitem(CASES, "cifar_resnet20", shallow)
    options = RunOptions(workdir=tmp_path / "run", devices=1, smoke=True)
    line = run(benchmark, defaults(benchmark) | {"nets": ("cifar_resnet20",)}, options)
    rows = json.loads((tmp_path / "run" / "benchmark.json").read_text())["rows"]
    assert {(row["mode"], row["contestant"]) for row in rows} >= {
        ("train", OURS), ("infer", OURS), ("train", "flax"), ("infer", "flax"),
        ("infer", f"{OURS}, unfolded"),
    }  # fmt: skip
    assert all(row["batch"] == 2 and row["images_per_second"] > 0 for row in rows)
    ratio = next(r["ratio"] for r in rows if r["contestant"] == "flax" and r["mode"] == "infer")
    assert f"cifar_resnet20 infer {ratio:.2f} of flax" in line
    assert "resnet20" in (tmp_path / "run" / "report.html").read_text()


def test_what_cannot_be_timed():
    with pytest.raises(UsageError, match="nets=alexnet: expected some of resnet50"):
        benchmark(nets=("alexnet",))


def test_the_closing_line_is_of_the_peers_and_of_jresnet_where_it_is_alone():
    names = (OURS, f"{OURS}, without dots", "flax")
    actual = {name: Contestant(lambda n: None, 2.0, None) for name in names}
    timings = {name: Timing(0.5 * n, 0.4, 0.8) for n, name in enumerate(names, 1)}
    rows = rows_of("resnet50", "train", 16, actual, timings, None)
    assert statement(rows) == "jresnet's rate: resnet50 train 3.00 of flax."
    assert statement(rows[:2]) == "jresnet's rate: resnet50 train 32 images/s."


def test_a_net_for_label_maps_is_timed_on_a_label_a_pixel(asked_for, monkeypatch):
    case = CASES["unet_resnet18"]
    batch = synthetic(case.image, 2, 21, maps=True)
    assert batch["map"].shape == (2, 224, 224)
    assert set(np.unique(batch["map"])) == set(range(21))
    monkeypatch.setattr(cases, "torch_nets", lambda: None)
    assert list(asked_for("unet_resnet18")) == [OURS]


@pytest.mark.slow
def test_the_u_net_in_pytorch_has_the_same_parameters_and_computes_maps():
    torch = pytest.importorskip("torch", reason="the peer is PyTorch's")
    case = CASES["unet_resnet18"]
    net = case.net()
    peer = cases.torch_unet(case.decoder)(numbers(net, 2), 2, 3)
    theirs = sorted(p.numel() for p in peer.parameters())
    ours = [int(np.prod(shape)) for shape in sizes(net, (64, 64, 3))]
    assert theirs == sorted(ours)
    assert peer(torch.zeros(2, 3, 64, 96)).shape == (2, 21, 64, 96)
