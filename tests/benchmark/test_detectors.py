"""Detection beside torchvision's code: the same weights and boxes go to both, and who is left out is told."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.benchmark import benchmark
from jresnet.benchmark import beside, cases, detectors
from jresnet.benchmark.cases import CASES, left_out
from jresnet.benchmark.detectors import detector, pictures, random_boxes
from jresnet.benchmark.timing import MODES, OURS, Contestant
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.detection.boxes import iou
from jresnet.run.command_line import RunOptions, defaults
from jresnet.run.launch import run
from jresnet.weights import to_torch
from tests.models.tiny_detectors import tiny

NOTHING = Contestant(lambda n: None, 0.0, None)


class Peer(SimpleNamespace):
    """torchvision's side, which notes what it is to compute."""

    NAME = "torchvision"

    def __init__(self):
        super().__init__(calls=[])
        for name in ("detector", "suppression", "alignment"):
            setattr(self, name, lambda *args, name=name: self.calls.append((name, args)) or NOTHING)


def timed(name, mode, size, theirs):
    return dict(CASES[name].contestants(mode, size, theirs, np.float32))


def test_suppression_and_roi_align_are_of_the_same_boxes():
    peer = Peer()
    assert list(timed("nms", "infer", 40, peer)) == [OURS, "torchvision"]
    names = [OURS, f"{OURS}, einsum", "torchvision"]
    for mode in MODES:
        rows = timed("roi_align", mode, 6, peer)
        assert list(rows) == names
        for contestant in rows.values():
            contestant.run(2)
    assert [name for name, _ in peer.calls] == ["suppression", "alignment", "alignment"]
    boxes, scores, threshold = peer.calls[0][1]
    assert (boxes.shape, scores.shape, threshold) == ((40, 4), (40,), 0.7)
    feature, boxes, shares, stride, _, mode = peer.calls[1][1]
    assert (feature.shape, boxes.shape, stride) == ((80, 80, 256), (6, 4), 4)
    assert (shares.shape, mode) == ((6, 7, 7, 256), "train")


def test_boxes_lie_inside_and_some_suppress_others():
    boxes = random_boxes(np.random.default_rng(0), 2000, 320)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= 320).all()
    lengths = boxes[:, 2:] - boxes[:, :2]
    assert (lengths.min(), lengths.max()) == pytest.approx((40, 160), abs=1)
    over = np.asarray(iou(boxes, boxes)) > detectors.OVERLAP
    assert 0.5 < (over.sum(1) > 1).mean() < 1


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_detector_is_timed_with_the_weights_that_torchvision_gets(mode, monkeypatch):
    started, peer = [], Peer()
    monkeypatch.setattr(detectors, "learning", lambda *args: started.append(args) or NOTHING)
    net = tiny(norm=zoo.FROZEN)
    rows = dict(detector(net, 64, mode, 2, peer))
    assert list(rows) == [OURS, "torchvision"]
    rows[OURS].run(1)
    ((_, (state, batch, *rest)),) = peer.calls
    assert rest == [mode, detectors.RATE]
    assert state["rpn.head.cls_logits.weight"].shape == (3, 8, 1, 1)
    assert {name: array.shape for name, array in batch.items()} == {
        "image": (2, 64, 64, 3), "size": (2, 2), "boxes": (2, 8, 4), "class": (2, 8)
    }  # fmt: skip
    if mode == "train":
        ((task, ours, rate, variables),) = started
        assert (task.model, task.mirror, rate) == (net, (0.0, 0.0), detectors.RATE)
        np.testing.assert_array_equal(ours["image"], batch["image"])
        same = to_torch(variables, net)
        assert all(np.array_equal(same[name], value) for name, value in state.items())


def test_classes_are_those_of_the_net():
    classes = np.asarray(pictures(4, 32, 2)["class"])
    assert set(np.unique(classes)) == {0, 1}


def test_what_is_left_out_is_told_once(monkeypatch):
    monkeypatch.setattr(cases, "torch_nets", lambda: None)
    monkeypatch.setattr(cases, "peer_module", lambda name: None)
    assert left_out(["resnet50"]) == " PyTorch is not installed: no rows of it."
    assert left_out(["nms", "roi_align"]) == " torchvision cannot be imported: no rows of it."
    assert left_out(["resnet50", "nms"]).count("no rows of it") == 2
    assert left_out(["johnson"]) == " PyTorch cannot be imported: no rows of it."
    assert left_out(["resnet50", "johnson"]).count("no rows of it") == 1
    monkeypatch.setattr(cases, "peer_module", lambda name: Peer())
    assert left_out(["nms", "johnson"]) == ""


def test_a_torchvision_of_another_pytorch_is_none(monkeypatch):
    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(beside.importlib, "import_module", broken)
    assert beside.peer_module("torch_detectors") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"nets": ("nms",), "also": ("scans",)}, "also=scans: expected none with nms"),
        ({"nets": ("resnet50", "nms"), "modes": ("train",)}, "modes=train: expected infer of nms"),
    ],
)
def test_operations_have_no_stages_and_suppression_no_gradient(arguments, message):
    with pytest.raises(UsageError, match=message):
        benchmark(**arguments)


def test_operations_have_rows_and_a_line_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "peer_module", lambda name: None)
    options = RunOptions(workdir=tmp_path / "run", devices=1, smoke=True)
    line = run(benchmark, defaults(benchmark) | {"nets": ("nms", "roi_align")}, options)
    rows = json.loads((tmp_path / "run" / "benchmark.json").read_text())["rows"]
    assert [(row["net"], row["mode"], row["contestant"]) for row in rows] == [
        ("nms", "infer", OURS),
        ("roi_align", "train", OURS), ("roi_align", "train", f"{OURS}, einsum"),
        ("roi_align", "infer", OURS), ("roi_align", "infer", f"{OURS}, einsum"),
    ]  # fmt: skip
    assert line.startswith("jresnet's rate: nms infer ")
    assert line.count(" boxes/s") == 3
    assert line.count("torchvision cannot be imported: no rows of it.") == 1


@pytest.mark.slow
def test_torchvision_computes_all_of_them():
    theirs = beside.peer_module("torch_detectors")
    if theirs is None:
        pytest.skip("torchvision, the peer, cannot be imported")
    net = zoo.faster_rcnn(zoo.resnet18(norm=zoo.FROZEN), 3)
    for mode in MODES:
        rows = dict(detector(net, 64, mode, 1, theirs))
        rows[theirs.NAME].run(1)
        timed("roi_align", mode, 3, theirs)[theirs.NAME].run(1)
    timed("nms", "infer", 30, theirs)[theirs.NAME].run(1)
