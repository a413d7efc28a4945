"""The study of label maps: what it starts from, weighs and tests, on folders in every layout."""

import dataclasses
import json
import re
from typing import get_args

import jax
import numpy as np
import pytest

from experiments.segment import segment
from jresnet.data.augment.colour import ColourJitter
from jresnet.data.sources.known_maps import CITYSCAPES, COCO_STUFF, VOC
from jresnet.errors import UsageError
from jresnet.models import zoo
from jresnet.models.headed import backbone_of
from jresnet.models.heads import Classifier
from jresnet.models.published import abstract_variables
from jresnet.recipes.segmentation import RECIPES, criterion
from jresnet.run.command_line import RunOptions
from jresnet.run.launch import run
from jresnet.studies.backbone_start import read_start
from jresnet.studies.segmentation.nets import NetName, build, family, small
from jresnet.tasks.map_losses import CrossEntropy, Focal, Lovasz, Overlap, Sum
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from jresnet.weights.run import read_variables
from tests.data.map_folders import (
    ade,
    cityscapes,
    coco,
    halves,
    instances,
    label_map,
    many,
    picture,
    plain,
    voc,
)
from tests.nets import random_variables
from tests.test_experiments import defaults

ONE = RunOptions(devices=1)


def arguments(**changes):
    usual = {"depths": (8,), "steps": 2, "batch_size": 1}
    return {**defaults(segment), **usual, **changes}


def classifier(depth=8):
    """A classifier on the backbone of net small."""
    return Classifier(small(1, depth).backbone, 7)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A classifier's checkpoint in torch's layout, and its variables."""
    path = tmp_path_factory.mktemp("weights") / "classifier.npz"
    variables = random_variables(classifier(), (32, 32, 3))
    files.save(to_torch(variables, classifier()), path)
    return path, variables


def test_a_backbone_starts_from_a_classifier_s_weights_and_its_twin_is_left_out(weights):
    path, variables = weights
    study = segment(**arguments(weights=path))
    assert list(study.runs) == ["small-8-seed0"]
    start = study.runs["small-8-seed0"].start
    assert start.keys() == {"params", "batch_stats"}
    for kind, tree in start.items():
        assert tree.keys() == {"backbone"}  # the head starts fresh
        expected = variables[kind]["backbone"]
        jax.tree.map(np.testing.assert_array_equal, tree["backbone"], expected)
    assert list(segment(**arguments(plain=False)).runs) == ["small-8-seed0"]
    assert list(segment(**arguments()).runs) == ["small-8-seed0", "plain small-8-seed0"]


def test_weights_of_another_backbone_are_refused_in_one_line(weights, tmp_path):
    path, _ = weights
    for net, depth in (("small", 14), ("unet_resnet18", None)):
        with pytest.raises(UsageError) as error:
            read_start(path, build(net, 4, depth), net)
        assert "\n" not in str(error.value)
        assert re.search(f"classifier.npz'.* net {net}'s backbone", str(error.value))
        assert len(str(error.value)) < 600
    grey = Classifier(small(1, 8).backbone, 7)
    files.save(to_torch(random_variables(grey, (32, 32, 1)), grey), tmp_path / "grey.npz")
    with pytest.raises(UsageError, match=r"stem/conv1/kernel .*: expected \(3, 3, 3, 16\)"):
        read_start(tmp_path / "grey.npz", build("small", 4, 8), "small-8")
    with pytest.raises(UsageError, match=r"none\.npz"):
        read_start(tmp_path / "none.npz", build("small", 4, 8), "small-8")


@pytest.mark.slow
def test_torchvision_s_classifier_fits_deeplab(tmp_path):
    source = zoo.resnet50()
    variables = random_variables(source, (32, 32, 3))
    files.save(to_torch(variables, source), tmp_path / "resnet50.npz")
    start = read_start(tmp_path / "resnet50.npz", build("deeplabv3_resnet50", 4, None), "deeplab")
    expected = variables["params"]["backbone"]
    assert start.normalize is None
    jax.tree.map(np.testing.assert_array_equal, start.variables["params"]["backbone"], expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cross_entropy", CrossEntropy((1.0, 2.0))),
        ("cross_entropy+dice", Sum((CrossEntropy((1.0, 2.0)), Overlap()))),
        ("lovasz+cross_entropy", Sum((Lovasz(levels=1024), CrossEntropy((1.0, 2.0))))),
    ],
)
def test_weights_of_classes_go_into_cross_entropy(name, expected):
    assert criterion(name, (1.0, 2.0)) == expected


def test_losses_by_name():
    assert criterion("focal") == Focal()
    assert criterion("tversky") == Overlap(0.3, 0.7)
    assert criterion("focal+dice+jaccard") == Sum((Focal(), Overlap(), Overlap(1.0, 1.0)))
    for name in ("focal", "tversky", "dice", "lovasz", "focal+dice"):
        with pytest.raises(
            UsageError, match=re.escape(f"class_weights: expected none with loss {name};")
        ):
            criterion(name, (1.0, 2.0))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            "dise+focal",
            r"expected one of cross_entropy, .* or several joined by \+; 'dise' is near dice",
        ),
        ("dice+", r"expected one of cross_entropy, .* or several joined by \+$"),
        ("dice+dice", "expected each of its names once"),
    ],
)
def test_losses_that_there_are_none_of(loss, message, tmp_path):
    """Told before any data is looked for."""
    with pytest.raises(UsageError, match=f"^loss={re.escape(repr(loss))}: {message}"):
        segment(dataset=str(tmp_path / "none"), loss=loss)


def test_weights_of_classes_are_those_of_the_training_split(tmp_path):
    folder = instances(tmp_path)
    with pytest.raises(UsageError, match="class_weights: expected none with loss dice"):
        segment(**arguments(dataset=folder, loss="dice", class_weights=1.0))
    study = segment(
        **arguments(dataset=folder, foreground=True, loss="cross_entropy", class_weights=1.0)
    )
    shares = np.array([80 - 14, 14]) / 80
    expected = (np.median(shares) / shares).tolist()
    for experiment in study.runs.values():
        assert experiment.task.criterion.class_weights == pytest.approx(expected, rel=1e-3)


def of_classes(task):
    """The weights of the recipe's loss, cross-entropy plus Dice."""
    cross_entropy, _ = task.criterion.losses
    return cross_entropy.class_weights


def test_weights_and_colour_are_the_recipe_s_unless_they_are_asked_for(tmp_path):
    folder = instances(tmp_path)
    usual = segment(**arguments(dataset=folder, foreground=True))
    shares = np.array([80 - 14, 14]) / 80
    expected = ((np.median(shares) / shares) ** RECIPES["small"].class_weights).tolist()
    changed = segment(
        **arguments(
            dataset=folder, foreground=True, class_weights=0.0, colour=0.3, random_scale=(0.5, 2.0)
        )
    )
    for one, other in zip(usual.runs.values(), changed.runs.values(), strict=True):
        assert of_classes(one.task) == pytest.approx(expected, rel=1e-3)
        assert one.task.pixel_augment == ()
        assert of_classes(other.task) is None
        assert other.task.pixel_augment == (ColourJitter(0.3, 0.3, 0.3),)
        scales = [
            (each.data.train_transform.low, each.data.train_transform.high) for each in (one, other)
        ]
        assert scales == [(1.0, 1.0), (0.5, 2.0)]
    for strange in ((2.0,), (2.0, 0.5)):
        with pytest.raises(UsageError, match=r"random_scale=.*: expected two factors"):
            segment(**arguments(dataset=folder, foreground=True, random_scale=strange))
    # A loss without weights of classes gets none, though the recipe has some.
    segment(**arguments(dataset=folder, foreground=True, loss="dice"))


@pytest.mark.parametrize("name", ["deeplabv3_resnet50", "deeplabv3plus_resnet50"])
def test_output_stride_and_multi_grid_change_no_weight(name):
    nets = [build(name, 4, None, 8), build(name, 4, None, 16, (1, 2, 4))]
    shapes = [abstract_variables(net, (32, 32, 3)) for net in nets]
    assert jax.tree.map(np.shape, shapes[0]) == jax.tree.map(np.shape, shapes[1])
    plans = [[dilations for *_, dilations in backbone_of(net).plan(2)] for net in nets]
    first = 2 if "plus" in name else 1  # torchvision's first block keeps the dilation before
    assert plans[1][-1] == (first, 4, 8)
    assert plans[0][-1][1:] == (4, 4)


def test_arguments_that_a_net_lacks_are_told_before_anything_trains():
    for name, changes, message in (
        ("small", {"output_stride": 8}, "output_stride=8: expected none, net small"),
        ("unet_resnet18", {"multi_grid": (1, 2)}, r"multi_grid=\(1, 2\): expected none, net unet"),
    ):
        with pytest.raises(UsageError, match=message):
            segment(**arguments(net=name, **changes))
    with pytest.raises(UsageError, match="output_stride=8: expected none, net small"):
        segment(**arguments(test_output_stride=8))
    with pytest.raises(UsageError, match=r"multi_grid=\(1, 2\): expected 3 factors"):
        segment(**arguments(net="fcn_resnet50", multi_grid=(1, 2)))


def test_every_net_is_what_its_name_says():
    for name in get_args(NetName):
        if name == "small":
            continue
        depths = backbone_of(getattr(zoo, name.split("_", 1)[1])()).depths
        for stride in (None,) if name.startswith("unet") else (None, 8, 16):
            assert backbone_of(build(name, 3, output_stride=stride)).depths == depths, name


def test_the_rates_of_deeplab_plus_are_those_of_a_stride_in_training():
    (net,) = family("deeplabv3plus_resnet18", 3, (), None, (), plain=False).values()
    with pytest.raises(UsageError, match=r"^test_output_stride=8: expected output_stride too"):
        net(8)
    (net,) = family("deeplabv3plus_resnet18", 3, (), 16, (), plain=False).values()
    rates = [net(stride).head(num_classes=3, parent=None).rates for stride in (None, 8)]
    assert rates == [(6, 12, 18), (12, 24, 36)]


def test_nets_at_another_output_stride():
    nets = family("deeplabv3_resnet50", 4, (), 16, (), plain=True)
    assert list(nets) == ["deeplabv3_resnet50", "plain deeplabv3_resnet50"]
    for build_net in nets.values():
        assert backbone_of(build_net(None)).output_stride == 16
        assert backbone_of(build_net(8)).output_stride == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "changes", "classes"),
    [
        (plain, {}, ("0", "1")),
        (voc, {"recipe": "voc"}, VOC),
        (cityscapes, {"recipe": "cityscapes"}, CITYSCAPES),
        (ade, {"first_class": 1, "ignored": (0, 255)}, ("0", "1")),
        (coco, {"loss": "cross_entropy"}, COCO_STUFF),
        (instances, {"foreground": True, "loss": "focal"}, ("background", "foreground")),
    ],
    ids=["plain", "voc", "cityscapes", "ade20k", "coco-stuff", "instances"],
)
def test_every_layout_trains_from_start_to_report(tmp_path, make, changes, classes):
    folder, out = make(tmp_path / "set", size=(32, 48)), tmp_path / "run"
    inputs = arguments(dataset=folder, plain=False, **changes)
    line = run(segment, inputs, RunOptions(workdir=out, devices=1))
    assert "small-8 has a mean IoU of" in line
    result = json.loads((out / "small-8-seed0" / "result.json").read_text())
    record = json.loads((out / "small-8-seed0" / "training.json").read_text())
    assert record["classes"] == list(classes)
    assert 0 <= result["metrics"]["test"]["mean_iou"] <= 1
    assert np.isfinite(result["metrics"]["test"]["loss"])
    assert (out / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_the_paper_s_deeplab_of_101_layers_from_a_classifier_to_its_tables(tmp_path, monkeypatch):
    """The arguments of arXiv:1706.05587, table 6, on two images a split, with crops of 65."""
    miniature = dataclasses.replace(RECIPES["voc"], crop=(65, 65), evaluated=((65, 65),))
    monkeypatch.setitem(RECIPES, "voc", miniature)
    source = zoo.resnet101()
    variables = random_variables(source, (32, 32, 3))
    files.save(to_torch(variables, source), tmp_path / "resnet101.npz")
    folder = voc(tmp_path / "set", size=(48, 64), augmented=True)
    paper = {
        "recipe": "voc", "net": "deeplabv3_resnet101", "output_stride": 16,
        "multi_grid": (1, 2, 4), "test_output_stride": 8, "scales": (0.5,), "views": "mirrored",
    }  # fmt: skip
    inputs = defaults(segment) | paper | {"dataset": folder, "steps": 1, "batch_size": 2}
    inputs["weights"] = tmp_path / "resnet101.npz"
    out = tmp_path / "run"
    run(segment, inputs, RunOptions(workdir=out, devices=1))
    (path,) = out.glob("*/result.json")
    scores = json.loads(path.read_text())["metrics"]["test"]
    for name in ("mean_iou", "views/mean_iou"):
        assert 0 <= scores[name] <= 1
    page = (out / "report.html").read_text()
    assert "tested at another output stride" in page


@pytest.mark.slow
def test_a_run_starts_from_another_run_and_the_report_tells_it(tmp_path, weights):
    folder = plain(tmp_path / "set", size=(32, 48))
    first, second = tmp_path / "first", tmp_path / "second"
    path, _ = weights
    run(segment, arguments(dataset=folder, weights=path), RunOptions(workdir=first, devices=1))
    assert "classifier.npz" in (first / "report.html").read_text()
    source = first / "small-8-seed0"
    with pytest.raises(UsageError, match="is a study: take one of small-8-seed0"):
        segment(**arguments(dataset=folder, weights=first))
    inputs = arguments(dataset=folder, weights=source, class_weights=1.0, scales=(0.5, 1.0))
    study = segment(**inputs)
    start = study.runs["small-8-seed0"].start
    stored = read_variables(source / "checkpoints")
    jax.tree.map(
        np.testing.assert_array_equal,
        start["params"]["backbone"],
        stored["params"]["backbone"],
    )
    run(segment, inputs, RunOptions(workdir=second, devices=1))
    page = (second / "report.html").read_text()
    assert "mean IoU of the views" in page
    assert "median frequency balancing" in page


@pytest.mark.slow
def test_faulty_examples_are_named_counted_and_never_trained_on(tmp_path, caplog):
    folder, out = many(tmp_path / "set", 600, size=(24, 24)), tmp_path / "run"
    images, labels = folder / "train" / "images", folder / "train" / "labels"
    label_map(labels / "001.png", halves((24, 23)))
    label_map(labels / "002.png", halves((24, 24)) + 7)
    (labels / "003.png").unlink()
    (images / "004.png").unlink()
    picture(labels / "005.png", (24, 24))
    label_map(labels / "006.png", np.full((24, 24), 255))
    inputs = arguments(dataset=folder, classes=("left", "right"), plain=False, batch_size=300)
    run(segment, inputs, RunOptions(workdir=out, devices=1))
    (path,) = out.rglob("broken.txt")
    lines = path.read_text().splitlines()
    for number, message in enumerate(
        ("its map is", "value 7 in the map", "expected a map", "expected an image",
         "an image of colours", "its map has no class"), 1
    ):  # fmt: skip
        assert any(f"00{number}.png" in line and message in line for line in lines), lines
    assert sum(".png" in line for line in lines) == 6
    told = [record.getMessage() for record in caplog.records if ".png" in record.getMessage()]
    assert len(told) == 6  # a warning for each while the run goes on


@pytest.mark.slow
def test_a_set_with_too_many_faulty_maps_is_refused_in_one_line(tmp_path):
    folder = plain(tmp_path / "set", size=(24, 24))
    for name in ("a", "b"):
        picture(folder / "train" / "labels" / f"{name}.png", (24, 24))
    inputs = arguments(dataset=folder, classes=("left", "right"), plain=False, batch_size=3)
    with pytest.raises(
        UsageError, match=r"of 3 files are broken so far; expected at most 1"
    ) as error:
        run(segment, inputs, RunOptions(workdir=tmp_path / "run", devices=1))
    assert "an image of colours" in str(error.value)
