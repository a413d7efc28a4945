"""The study of clips: its nets, what they start from, its data, its table, and its page from MP4s."""

import json
import math
import re

import jax
import numpy as np
import pytest

from experiments import video as module
from experiments.video import video
from jresnet.data.info import Info
from jresnet.data.normalisation import IMAGENET
from jresnet.data.sources.clips import Films
from jresnet.data.sources.moving_digits import CLASSES, DIRECTIONS, MovingDigits
from jresnet.errors import UsageError
from jresnet.experiment import Result
from jresnet.models import zoo
from jresnet.models.published import abstract_variables
from jresnet.models.resnet import ResNet
from jresnet.recipes.video import RECIPES
from jresnet.run.launch import launch
from jresnet.studies.video.measure import counts, with_views
from jresnet.studies.video.nets import build, read_start, small, small_2d
from jresnet.studies.video.report import percent, statement, table
from jresnet.studies.video.trainings import parts_of, subjects
from jresnet.weights import files
from jresnet.weights.convert import to_torch
from tests.nets import apply, normal, random_variables
from tests.test_experiments import defaults


def arguments(**changes):
    return {**defaults(video), **changes}


def test_rates_of_the_published_recipes():
    kinetics = RECIPES["kinetics"].rates(1000)
    at = {0: 0.00064, 10_000: 0.64, 19_999: 0.64, 20_000: 0.064, 30_000: 0.0064, 40_000: 6.4e-4}
    assert {step: float(kinetics(step)) for step in at} == pytest.approx(at, rel=1e-4)
    rs = RECIPES["r3d_rs"].rates(210)  # 350 epochs
    half = 0.4 * (1 + math.cos(math.pi * 170 / 345))
    assert [float(rs(step)) for step in (0, 5 * 210, 175 * 210, 350 * 210)] == pytest.approx(
        [0, 0.8, half, 0], abs=1e-5
    )
    short = RECIPES["kinetics"].changed(epochs=9, batch_size=48)
    assert (short.drops, short.warmup) == ((4, 6, 8), 2)
    assert short.learning_rate == pytest.approx(0.02)


def test_nets_their_twin_and_their_controls():
    nets = subjects("small", 80)
    assert [seen for _, seen in nets.values()] == ["ordered", "one", "shuffled", "ordered"]
    clip = normal(2, 8, 16, 16, 1)
    for net, seen in nets.values():
        x = clip[:, :1] if seen == "one" else clip
        assert jax.eval_shape(
            lambda x, net=net: net.init_with_output(jax.random.key(0), x, train=False)[0], x
        ).shape == (2, 80)
    titles = ["3-D r3d_18", "3-D, shuffled frames", "plain 3-D r3d_18"]
    assert list(subjects("r3d_18", 80)) == titles
    assert list(subjects("mc3_18", 80, plain=False, controls=False)) == ["3-D mc3_18"]
    with pytest.raises(UsageError, match="blocks=2: expected none, net r3d_18 has no choice"):
        build("r3d_18", 80, 2)


def test_a_net_of_frames_cannot_tell_their_order_and_the_other_can():
    clip = normal(1, 8, 16, 16, 1)
    for net, tells in ((small_2d(5), False), (small(5), True)):
        variables = random_variables(net, (8, 16, 16, 1))
        one, other = (apply(net, variables, x, train=False) for x in (clip, clip[:, ::-1]))
        assert (np.abs(one - other).max() > 1e-2) == tells


def test_parts_of_a_class():
    digit, direction = parts_of(CLASSES)
    assert digit[1][13] == 1
    assert list(DIRECTIONS)[direction[1][13]] == CLASSES[13].split(" ", 1)[1]
    some = ("3 up", "0 down left")  # as folders have them: in another order, or not all
    assert parts_of(some) == (("digit", (3, 0)), ("direction", (6, 3)))
    assert parts_of(("Archery", "3 up")) == parts_of(()) == ()
    true, chosen = np.array([0, 9, 9]), np.array([8, 9, 17])
    matrix = counts(true, chosen, direction[1])
    assert matrix[:2, :2].tolist() == [[1, 0], [0, 2]]
    assert matrix.sum() == 3


def test_weights_of_a_net_for_pictures_are_inflated(tmp_path):
    fields = {"depths": (1, 1), "widths": (8, 16), "strides": (1, 2)}
    flat, deep = (build(5, **fields) for build in (zoo.resnet18, zoo.hara_r3d_18))
    deep = deep.clone(backbone=deep.backbone.clone(shortcut=ResNet(()).shortcut))
    variables = random_variables(flat, (32, 32, 3))
    path = tmp_path / "net.npz"
    files.save(to_torch(variables, flat), path)
    start = read_start(path, deep, "hara_r3d_18")
    assert start.normalize == IMAGENET
    shapes = jax.tree.map(np.shape, start.variables["params"]["backbone"])
    assert shapes == jax.tree.map(
        np.shape, abstract_variables(deep, (8, 32, 32, 3))["params"]["backbone"]
    )
    ours = start.variables["params"]["backbone"]["stem"]["conv"]["kernel"]
    theirs = variables["params"]["backbone"]["stem"]["conv"]["kernel"]
    np.testing.assert_allclose(ours.sum(0), theirs, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="not of net r2plus1d_18's backbone"):
        read_start(path, zoo.r2plus1d_18(5), "r2plus1d_18")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"views": (1, 10)}, "views=10: expected dataset or films too"),
        ({"views": (7,)}, "views=7: expected some of 1, 10, 30"),
        ({"size": 32}, "size=32: expected dataset or films too"),
        ({"dataset": "a", "films": "b"}, "films=b: expected none beside dataset"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        video(**arguments(**changes))


def test_a_table_names_both_accuracies_and_the_page_says_what_is_right(tmp_path):
    def result(video, clip):
        parts = {"video_accuracy/digit": 0.9, "video_accuracy/direction": 0.8}
        metrics = {"video_accuracy": video, "clip_accuracy": clip, "views": 10.0, **parts}
        return Result({"test": metrics}, 3.0, 1200, tmp_path)

    results = {"a-seed0": result(0.7, 0.6), "a-seed1": result(0.8, 0.6)}
    drawn = table({"a": list(results)}, results, ["digit", "direction"])
    assert drawn.headers[2:6] == (
        "digit (%)", "direction (%)", "both, video accuracy (%)", "clip accuracy (%)"
    )  # fmt: skip
    assert drawn.rows[0][2:] == ("90.0 ± 0.0", "80.0 ± 0.0", "75.0 ± 7.1", "60.0 ± 0.0", "6")
    assert "here 10" in drawn.caption
    info = Info("clips", 2, ("a", "b"), class_of="clip")
    assert statement(info, {"net": [{"video_accuracy": 0.5}]}, []) == (
        "Test videos of clips that are right. net: videos 50.0 %."
    )
    assert percent([0.123]) == "12.3"


def test_films_are_trained_on_for_as_many_steps_as_all_digits(tmp_path, monkeypatch):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    assert module.FILM_EPOCHS * module.FILMS["train"] == 4 * MovingDigits().info().sizes["train"]
    monkeypatch.setattr(module, "FILMS", {"train": 320, "test": 8})
    for words, steps in (({}, 100), ({"epochs": 3}, 30), ({"recipe": "ucf"}, 2 * 60)):
        study = video(**arguments(films=tmp_path / "films", **words))
        assert {run.plan.steps for run in study.runs.values()} == {steps}


@pytest.mark.slow
def test_from_films_that_the_command_writes_to_its_page(tmp_path, monkeypatch):
    pytest.importorskip("av", reason="the extra `video` (PyAV) is not installed")
    monkeypatch.setattr(module, "FILMS", {"train": 320, "test": 8})
    words = ["--films", str(tmp_path / "films"), "--epochs", "1", "--views", "1", "10", "30"]
    words += ["--no-plain", "--no-controls", "--devices", "1", "--workdir", str(tmp_path / "run")]
    launch(video, words)
    films = Films(tmp_path / "films")
    assert films.info().sizes == {"train": 320, "test": 8}
    page = (tmp_path / "run" / "report.html").read_text()
    for text in ("The hardest clips", "both, video accuracy (%)", "Views are the clips of each"):
        assert text in page
    (path,) = (tmp_path / "run").glob("*/result.json")
    metrics = json.loads(path.read_text())["metrics"]["test"]
    assert metrics["clip_accuracy"] == metrics["video_accuracy"]
    data = RECIPES["small"].data(films)
    assert with_views(data, 30).info().sizes["test"] == 240
    assert with_views(RECIPES["small"].data(MovingDigits()), 30).info().sizes["test"] == 8 * 297
