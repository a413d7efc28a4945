"""Detectors that start from a backbone's weights, or from those of a whole detector."""

import json
import pickle
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.detect import detect
from jresnet.data.normalisation import IMAGENET
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.block import BOTTLENECK_V1
from jresnet.models.headed import backbone_of
from jresnet.models.part import part
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.backbone_start import Start
from jresnet.studies.detection import start
from jresnet.studies.detection.nets import build
from jresnet.studies.detection.start import (
    as_trained_by_detectron2,
    conventions_of,
    heads_in,
    read_start,
)
from jresnet.weights import files, to_torch
from jresnet.weights.conventions import as_detectron2
from jresnet.weights.detectors import DETECTRON2_RCNN
from jresnet.weights.matching import flat
from tests.models.tiny_detectors import tiny
from tests.nets import random_variables
from tests.studies.test_detection import arguments

CLASSES = ("a", "b", "c", "d")
IMAGE = (64, 64, 3)
BY_CLASS = ["box_head/classes", "box_head/deltas", "mask_head/classes"]


def stored(folder, net, layout=None, seed=1):
    """A checkpoint of a net in torch's layout, and its variables."""
    variables = random_variables(net, IMAGE, seed)
    state = to_torch(variables, net, layout)
    if layout is None:
        path = folder / "net.npz"
        files.save(state, path)
    else:
        path = folder / "net.pkl"
        path.write_bytes(pickle.dumps({"model": state}))
    return path, variables


def fresh_of(caplog):
    """Heads and layers that the one line of the log says start fresh."""
    (line,) = [record.getMessage() for record in caplog.records]
    return line.partition("; starting fresh: ")[2].split(", ")


def assert_taken(tree, variables, without=()):
    """The tree has all the arrays but those of some layers, and nothing else."""
    kept = {path for path in flat(variables) if not set(without) & {path[1], "/".join(path[1:3])}}
    leaves = flat(tree)
    assert leaves.keys() == kept
    for path, leaf in leaves.items():
        np.testing.assert_allclose(leaf, flat(variables)[path], rtol=1e-6)


@pytest.mark.parametrize("layout", [None, DETECTRON2_RCNN], ids=["torchvision", "detectron2"])
def test_all_of_a_detector_for_other_classes_but_its_last_layers(tmp_path, layout, caplog):
    path, variables = stored(tmp_path, tiny("mask"), layout)
    net, begun = read_start(path, tiny("mask").clone(num_classes=5), "tiny", CLASSES)
    assert begun.normalize is None
    assert_taken(begun.variables, variables, BY_CLASS)
    assert fresh_of(caplog) == BY_CLASS
    assert caplog.records[0].getMessage().startswith(f"weights={str(path)!r}: backbone, ")
    assert "box_head, fpn, mask_head, rpn taken; " in caplog.text
    assert (net.settings.rounded, net.settings.aligned) == (layout is None, layout is not None)


def test_a_file_for_as_many_classes_is_taken_whole(tmp_path, caplog):
    path, variables = stored(tmp_path, tiny("keypoint"))
    net, begun = read_start(path, tiny("keypoint"), "tiny", CLASSES[:2])
    assert net == tiny("keypoint")
    assert_taken(begun.variables, variables)
    assert fresh_of(caplog) == [""]


def test_the_last_layer_of_other_keypoints_starts_fresh(tmp_path, caplog):
    path, variables = stored(tmp_path, tiny("keypoint"))
    other = tiny("keypoint")
    other = other.clone(keypoint=part(other.keypoint, keypoints=5))
    _, begun = read_start(path, other, "tiny", CLASSES[:2])
    assert_taken(begun.variables, variables, ["keypoint_head/enlarge"])
    assert fresh_of(caplog) == ["keypoint_head/enlarge"]


def test_heads_that_the_checkpoint_lacks_or_has_otherwise_start_fresh(tmp_path, caplog):
    path, variables = stored(tmp_path, tiny("faster"))
    _, begun = read_start(path, tiny("mask"), "tiny", CLASSES[:2])
    assert_taken(begun.variables, variables)
    assert fresh_of(caplog) == ["mask_head"]
    caplog.clear()
    # Version 2 has norms in the pyramid, and convolutions before one dense layer.
    _, begun = read_start(path, tiny("faster", 2), "tiny", CLASSES[:2])
    assert_taken(begun.variables, variables, ["fpn", "box_head", "rpn"])
    assert fresh_of(caplog) == ["box_head", "fpn", "rpn"]


def test_a_classifier_gives_its_backbone_as_before(tmp_path, caplog):
    source = zoo.resnet18(depths=(1,) * 4, widths=(8,) * 4, norm=zoo.FROZEN)
    path, variables = stored(tmp_path, source)
    _, begun = read_start(path, tiny(), "tiny", CLASSES)
    assert_taken(begun.variables, variables, ["head"])
    assert "backbone taken; starting fresh: box_head, fpn, rpn" in caplog.text


@pytest.mark.parametrize("depths", [(1, 2, 1, 1), (1, 1, 1, 2)])
def test_another_backbone_is_refused_in_one_line(tmp_path, depths):
    for number, (source, net) in enumerate(
        ((tiny(depths=depths), tiny()), (tiny(), tiny(depths=depths)))
    ):
        (tmp_path / str(number)).mkdir()
        path, _ = stored(tmp_path / str(number), source)
        with pytest.raises(UsageError, match=r"net\.npz': not of net tiny's backbone: ") as error:
            read_start(path, net, "tiny", CLASSES)
        assert len(str(error.value).splitlines()) == 1
    with pytest.raises(UsageError, match=r"none\.npz"):
        read_start(tmp_path / "none.npz", tiny(), "tiny", CLASSES)


def test_weights_of_cifar_nets_fit_the_detector_on_their_net_alone(tmp_path):
    path, variables = stored(tmp_path, zoo.cifar_resnet(20))
    net = build("cifar_resnet20", 3, "boxes")
    _, begun = read_start(path, net, "cifar_resnet20", CLASSES)
    assert_taken(begun.variables, variables, ["head"])
    maps = jax.eval_shape(
        lambda: backbone_of(net).init_with_output(
            jax.random.key(0), jnp.zeros((1, 64, 96, 3)), train=False
        )[0]
    )
    assert [maps[f"stage{n}"].shape[1:3] for n in (1, 2, 3)] == [(16, 24), (8, 12), (4, 6)]
    with pytest.raises(UsageError, match="not of net small-20's backbone"):
        read_start(path, build("small", 3, "boxes", depth=20), "small-20", CLASSES)


@pytest.mark.parametrize("same", [True, False])
def test_a_run_gives_its_last_layers_for_the_same_classes_alone(
    tmp_path, monkeypatch, same, caplog
):
    net = tiny()
    variables = random_variables(net, IMAGE)
    told = SimpleNamespace(normalize=lambda: IMAGENET, classes=("a", "b" if same else "c"))
    loaded = SimpleNamespace(variables=variables, recorded=told, model=net)
    monkeypatch.setattr(start, "run_net", lambda folder: folder)
    monkeypatch.setattr(start, "load_net", lambda net, arguments, folder: loaded)
    _, begun = read_start(tmp_path, net, "tiny", ("a", "b"))
    assert begun.normalize is IMAGENET
    assert_taken(begun.variables, variables, [] if same else BY_CLASS)
    assert fresh_of(caplog) == ([""] if same else BY_CLASS[:2])


def test_a_layer_is_taken_whole_or_not():
    def array(*shape):
        return np.zeros(shape)

    expected = {
        ("params", "rpn", "conv1", "kernel"): array(3, 3),
        ("params", "rpn", "conv1", "bias"): array(3),
        ("batch_stats", "fpn", "layer1", "mean"): array(4),
        ("params", "fpn", "layer1", "kernel"): array(4, 4),
        ("params", "box_head", "dense1", "kernel"): array(5, 5),
        ("params", "box_head", "classes", "kernel"): array(5, 3),
        ("params", "box_head", "classes", "bias"): array(3),
    }
    held = dict(expected)
    held[("params", "rpn", "conv1", "bias")] = array(2)
    del held[("batch_stats", "fpn", "layer1", "mean")]
    held[("params", "box_head", "classes", "kernel")] = array(5, 7)
    taken, fresh = heads_in(held, expected, same_classes=True)
    assert list(taken) == [("params", "box_head", "dense1", "kernel")]
    assert fresh == ["rpn", "fpn", "box_head/classes"]


def test_recipes_of_detectron2_leave_a_detector_s_conventions_as_they_are():
    backbone, detector = {"backbone": {}}, {"backbone": {}, "rpn": {}, "box_head": {}}
    starts = {"a": Start({"params": backbone}), "b": Start({"params": detector})}
    nets = as_trained_by_detectron2(dict.fromkeys("abc", tiny()), starts)
    told = {name: (net.settings.rounded, net.settings.aligned) for name, net in nets.items()}
    assert told == {"a": (False, True), "b": (True, False), "c": (False, True)}


def test_detectron2_s_bottlenecks_stride_first():
    net = zoo.faster_rcnn(zoo.resnet50(norm=zoo.FROZEN))
    theirs = as_detectron2(net)
    assert theirs == zoo.faster_rcnn(
        zoo.resnet50(version=1, norm=zoo.FROZEN), settings=zoo.DETECTRON2
    )
    assert backbone_of(theirs).branch == BOTTLENECK_V1
    groups = zoo.faster_rcnn(zoo.resnext101_32x8d())
    assert as_detectron2(groups).backbone == groups.backbone


def test_a_run_that_began_from_detectron2_gives_its_conventions_on():
    usual = zoo.faster_rcnn(zoo.resnet50(norm=zoo.FROZEN))
    theirs = as_detectron2(usual)
    assert conventions_of(theirs, usual) == theirs
    assert conventions_of(usual, usual) == usual


def family(*arguments):
    return {"tiny": tiny("mask").clone(num_classes=4)}


@pytest.mark.slow
def test_a_detector_for_two_classes_is_trained_on_three(tmp_path, monkeypatch):
    path, variables = stored(tmp_path, tiny("mask"))
    monkeypatch.setattr("experiments.detect.ShapeObjects", lambda: ShapeObjects(8, 6))
    monkeypatch.setattr("experiments.detect.family", family)
    inputs = arguments(kind="masks", weights=path, steps=1, learning_rate=1e-9)
    run(detect, inputs, RunOptions(workdir=tmp_path / "run", devices=1, pictures=0))
    trained = tmp_path / "run" / "tiny-seed0"
    result = json.loads((trained / "result.json").read_text())["metrics"]["test"]
    assert np.isfinite(result["loss/mask"])
    _, again = read_start(trained, family()["tiny"], "tiny", ("circle", "square", "triangle"))
    leaves, expected = flat(again.variables), flat(variables)
    for path, leaf in expected.items():
        if path[0] == "params" and "/".join(path[1:3]) not in BY_CLASS:
            np.testing.assert_allclose(leaves[path], leaf, atol=1e-6, err_msg=str(path))
    assert leaves["params", "box_head", "classes", "kernel"].shape == (8, 4)
    assert jax.tree.structure(again.variables).num_leaves == len(expected)
