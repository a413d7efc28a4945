"""A picture is optimised by the one trainer: resumed to the same bits, the same on eight devices."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest

from jresnet.data.normalisation import IMAGENET
from jresnet.data.one_batch import OneBatch
from jresnet.models import zoo
from jresnet.recipes.styling import StyleRecipe, by_size, chosen_layers, smoothing_named, within
from jresnet.runtime.mesh import make_mesh
from jresnet.studies.feature_net import FeatureNet
from jresnet.tasks.style_losses import FeatureLoss, Scaled, SoftmaxAll
from jresnet.tasks.stylise_picture import StylisePicture, prepared
from jresnet.train.loop import fit
from tests.train.test_loop import Killed, assert_bit_equal

BODY = zoo.cifar_resnet(8).backbone
LAYERS = ("stem", "stage1", "stage2", "stage3")
RECIPE = StyleRecipe(steps=8, content_weight=0.1)


@pytest.fixture(scope="module")
def net():
    body = FeatureNet(BODY, {}, IMAGENET, 3)
    return body.with_random_weights(0).variables


def photos(count=2, height=16, width=12):
    y, x, _ = np.mgrid[:height, :width, :1] / 9
    shifts = np.random.default_rng(0).random((count, 1, 1, 3)) * 6
    return (0.5 + 0.3 * np.sin(5 * x + 4 * y + shifts)).astype(np.float32)


STYLE = np.random.default_rng(3).random((20, 20, 3)).astype(np.float32)


def criterion(recipe=RECIPE, **fields):
    usual = {"backbone": BODY, "normalize": IMAGENET, "style": LAYERS, "content": "stage2"}
    return recipe.weigh(FeatureLoss(**{**usual, **fields}))


def experiment(net, recipe=RECIPE, content=None, **changes):
    content = photos() if content is None else content
    names = tuple(f"picture{i}" for i in range(len(content)))
    return recipe.experiment(criterion(recipe), net, [STYLE], content, names, **changes)


def train(built, folder, devices=1, data=None, pictures=0):
    return fit(
        built.task, built.optimizer, data or built.data, built.plan, folder, "style",
        make_mesh(devices), built.start, constants=built.constants, pictures=pictures,
    )  # fmt: skip


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@dataclasses.dataclass(frozen=True, eq=False)
class Dying(OneBatch):
    """Data of a process that dies when the sixth batch is wanted."""

    def train(self, start=0, host=(0, 1)):
        for number, batch in enumerate(super().train(start, host), start):
            if number == 5:
                raise Killed
            yield batch


@pytest.fixture(scope="module")
def undisturbed(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(experiment(net, batch_size=8), folder, pictures=2)


def test_killed_and_resumed_to_the_same_bits(net, undisturbed, tmp_path):
    built = experiment(net, batch_size=8)
    dying = Dying(built.data.pictures, built.data.names, 8)
    with pytest.raises(Killed):
        train(built, tmp_path, data=dying)
    assert (tmp_path / "checkpoints" / "4").is_dir()
    resumed = train(built, tmp_path)
    folder, expected = undisturbed
    assert_bit_equal(resumed.state, expected.state)
    assert resumed.metrics == expected.metrics
    assert (tmp_path / "metrics.jsonl").read_bytes() == (folder / "metrics.jsonl").read_bytes()


def test_one_device_equals_eight(net, undisturbed, tmp_path):
    folder, one = undisturbed
    eight = train(experiment(net, batch_size=8), tmp_path, devices=8)
    picture = eight.state.params["picture"]
    assert picture.sharding.num_devices == 8
    assert picture.shape == (2, 16, 12, 3)
    for a, b in zip(records(folder), records(tmp_path), strict=True):
        assert a.keys() == b.keys()
        for key in a.keys() - {"split"}:
            assert a[key] == pytest.approx(b[key], rel=2e-3, abs=1e-5), key
    np.testing.assert_allclose(picture, one.state.params["picture"], atol=5e-3)


def test_a_picture_is_optimised_as_if_it_were_alone(net, undisturbed, tmp_path):
    alone = train(experiment(net, content=photos()[1:]), tmp_path)
    both = undisturbed[1].state.params["picture"]
    np.testing.assert_allclose(alone.state.params["picture"][0], both[1], atol=5e-3)


def test_examples_are_drawn(undisturbed):
    record = json.loads((undisturbed[0] / "pictures" / "pictures.json").read_text())
    assert [entry["name"] for entry in record["pictures"]] == ["picture0", "picture1"]


def test_the_content_picture_has_style_loss_one_and_content_loss_none(net):
    built = experiment(net)
    variables = {**(built.start or {}), "constants": built.constants}
    (batch,) = built.data.examples("test")
    metrics = built.task.evaluate(variables, batch)
    sums = {name: float(value) / float(count) for name, (value, count) in metrics.items()}
    assert sums["style"] == pytest.approx(1.0, rel=1e-5)
    assert sums["content"] == pytest.approx(0.0, abs=1e-8)
    assert metrics["examples"][0] == 2
    # A picture whose features are their own mean has content loss 1 by definition.
    wanted = built.constants["wanted"]
    spread = np.square(wanted - wanted.mean((1, 2), keepdims=True)).mean((1, 2, 3))
    np.testing.assert_allclose(built.constants["units"]["content"], spread, rtol=1e-5)


def test_the_loss_is_the_weighted_sum_of_its_parts_and_added_over_pictures(net):
    built = experiment(net, batch_size=6)
    noise = np.random.default_rng(5).random((2, 16, 12, 3)).astype(np.float32)
    variables = {"params": {"picture": noise}, "constants": built.constants}
    batch = next(built.data.train())
    value, (state, metrics) = built.task.loss(variables, batch, jax.random.key(0))
    assert state == {}
    sums = {name: float(pair[0]) for name, pair in metrics.items()}
    whole = sums["style"] + 0.1 * sums["content"] + RECIPE.variation_weight * sums["variation"]
    assert float(value) == pytest.approx(whole, rel=1e-4)
    assert sums["loss"] == pytest.approx(whole, rel=1e-4)
    assert metrics["loss"][1] == pytest.approx(2.0)


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.05), ("lbfgs", 1.0)])
def test_style_falls_and_pixels_stay_in_range(net, tmp_path, optimizer, rate):
    recipe = StyleRecipe(60, rate, optimizer, content_weight=0.0, variation_weight=0.0)
    fitted = train(experiment(net, recipe), tmp_path)
    assert fitted.metrics["test"]["style"] < 0.2
    picture = np.asarray(fitted.state.params["picture"])
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert np.abs(picture - photos()).max() > 0.05


def test_a_picture_begins_as_noise_without_a_start(net, tmp_path):
    recipe = dataclasses.replace(RECIPE, begin="noise", steps=1)
    built = experiment(net, recipe)
    assert built.start is None
    params = built.task.init(jax.random.key(1), next(built.data.train()))["params"]["picture"]
    assert 0.2 < params.std() < 0.3
    assert params.min() >= 0
    other = built.task.init(jax.random.key(2), next(built.data.train()))["params"]["picture"]
    assert not np.array_equal(params, other)


def test_the_judge_is_another_loss_that_is_not_minimised(net):
    smooth = criterion(smoothing=SoftmaxAll())
    plain = experiment(net)
    judged = RECIPE.experiment(
        smooth, net, [STYLE], photos(), ("a", "b"), judge=(criterion(), plain.constants)
    )
    noise = np.random.default_rng(7).random((2, 16, 12, 3)).astype(np.float32)
    (batch,) = plain.data.examples("test")
    values = []
    for built in (plain, judged):
        variables = {"params": {"picture": noise}, "constants": built.constants}
        metrics = jax.jit(built.task.evaluate)(variables, batch)
        values.append({name: float(pair[0]) for name, pair in metrics.items()})
    assert "judged_style" not in values[0]
    assert values[1]["judged_style"] == pytest.approx(values[0]["style"], rel=1e-4)
    assert values[1]["style"] != pytest.approx(values[0]["style"], rel=1e-2)
    # The loss that is minimised does not hold it.
    one = values[1]
    parts = one["style"] + 0.1 * one["content"] + RECIPE.variation_weight * one["variation"]
    assert values[1]["loss"] == pytest.approx(parts, rel=1e-4)


def test_colour_is_kept_in_what_is_seen(net):
    built = experiment(net, keep_colour=True)
    (batch,) = built.data.examples("test")
    noise = np.random.default_rng(6).random((2, 16, 12, 3)).astype(np.float32) * 0.2 + 0.4
    grey_noise = np.repeat(noise[..., :1], 3, -1)
    constants = built.constants
    weights = np.array([0.299, 0.587, 0.114])
    tinted = grey_noise + (noise - (noise @ weights)[..., None])
    losses = [
        built.task.measured({"params": {"picture": p}, "constants": constants}, batch)["style"]
        for p in (grey_noise, tinted.astype(np.float32))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)  # colour is not compared
    start = {**(built.start or {}), "constants": constants}
    result = built.task.predict(start, batch)["picture"]
    assert np.abs(np.asarray(result, int) - batch["image"]).max() <= 1


def test_a_content_that_has_the_style_already_has_nothing_to_divide_by(net):
    flat = np.full((1, 16, 16, 3), 0.5, np.float32)
    constants = prepared(criterion(), net, [flat[0]], flat)
    assert constants["units"]["style"][0] == 1.0
    assert np.isfinite(constants["units"]["content"]).all()


def test_the_range_is_kept_by_the_update():
    method = optax.chain(optax.sgd(1.0), within(0.0, 1.0))
    params = np.array([0.1, 0.5, 0.9], np.float32)
    updates, _ = method.update(np.array([0.5, 0.1, -0.5], np.float32), method.init(params), params)
    np.testing.assert_allclose(optax.apply_updates(params, updates), [0.0, 0.4, 1.0], atol=1e-6)


def test_layers_smoothings_and_sizes_by_default():
    assert chosen_layers(LAYERS) == (LAYERS, "stage2")
    assert chosen_layers(LAYERS, ("stem",), "stage3") == (("stem",), "stage3")
    assert smoothing_named("deep-scaled", LAYERS) == Scaled(0.001, ("stage2", "stage3"))
    assert smoothing_named("softmax-all", LAYERS) == SoftmaxAll()
    sizes = {"a": np.zeros((2, 3, 3)), "b": np.zeros((4, 3, 3)), "c": np.zeros((2, 3, 3))}
    assert by_size(sizes) == [["a", "c"], ["b"]]
    assert isinstance(hash(StylisePicture(criterion())), int)
