"""The task of super-resolution: scores of padded pictures, tiles, losses, two players, bit-equal runs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.data.augment.resize import as_bytes
from jresnet.data.augment.turns import COUNT, randomly_turned, returned, turned
from jresnet.data.normalisation import IMAGENET
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.padded import apply_padded
from jresnet.runtime.mesh import make_mesh
from jresnet.studies.upscaling.crops import split_columns
from jresnet.tasks.base import CONSTANTS, summarize
from jresnet.tasks.case import Case
from jresnet.tasks.picture_losses import Absolute, Perceptual, Squared
from jresnet.tasks.tiles import Tiles
from jresnet.tasks.upscale import Upscale
from jresnet.tasks.upscale_adversarial import JUDGE, UpscaleAdversarially
from jresnet.train.loop import Plan, fit
from tests.models.headed_nets import backbone
from tests.nets import normal, random_variables
from tests.tasks.toys import in_memory
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_second_floor import Dying, fields, lines

NET = zoo.srresnet(2, 1, 4, norm=False)
TASK = Upscale(NET)
WITH_NORM = zoo.srresnet(2, 1, 4)
CRITIC = zoo.srgan_discriminator(widths=(4, 4), dense=4)


def patches(count=32, side=12, seed=0):
    """Smooth pictures: two waves and a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    phase, tilt = rng.uniform(0, 6, (count, 1, 1, 3)), rng.uniform(-0.6, 0.6, (count, 2, 1, 1, 3))
    wave = np.sin(y[None, ..., None] * tilt[:, 0] + x[None, ..., None] * tilt[:, 1] + phase)
    return (128 + 90 * wave + rng.normal(0, 4, wave.shape)).clip(0, 255).astype(np.uint8)


def padded(images, shape):
    """Pictures of several sizes as a batch of one shape."""
    batch = np.full((len(images), *shape, 3), 77, np.uint8)  # padding that must not matter
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    padding = [[shape[0] - image.shape[0], shape[1] - image.shape[1]] for image in images]
    return {"image": jnp.asarray(batch), "padding": jnp.asarray(padding, jnp.int32)}


def variables(net=NET):
    return random_variables(net, (8, 8, 3))


@pytest.mark.slow
@pytest.mark.parametrize("net", [zoo.msrresnet(2, 1, 4), WITH_NORM], ids=["msrresnet", "norm"])  # fmt: skip
def test_a_padded_picture_scores_what_it_scores_alone(net):
    task, values = Upscale(net), variables(net)
    images = [patches(1, 24, 1)[0][:20, :24], patches(1, 16, 2)[0][:14]]
    evaluate = jax.jit(task.evaluate)
    together = evaluate(values, padded(images, (24, 28)))
    alone = [evaluate(values, {"image": jnp.asarray(image)[None]}) for image in images]
    for name, (value, count) in together.items():
        expected = sum(float(each[name][0]) for each in alone)
        assert float(value) == pytest.approx(expected, rel=2e-4), name
        if name != "examples":
            assert float(count) == sum(float(each[name][1]) for each in alone), name
    # The second is 14 high: no window of 11 pixels between borders of 2, so that SSIM leaves it out.
    assert int(together["ssim_y"][1]) == 1
    assert int(together["psnr_y"][1]) == 2
    result = jax.jit(task.read)(values, padded(images, (24, 28)))["ours"]
    for row, image in zip(result, images, strict=True):
        height, width = image.shape[:2]
        low = task.reduced(jnp.asarray(image)[None].astype(jnp.float32)) / 255
        own_size = net.apply(values, low, train=False)[0]
        np.testing.assert_allclose(row[:height, :width], own_size, atol=1e-4)


def test_padded_rows_count_for_nothing_and_bicubic_stands_beside():
    values, batch = variables(), padded(list(patches(3, 24)), (24, 24))
    valid = jnp.asarray([1.0, 1, 0])
    evaluate = jax.jit(TASK.evaluate)
    metrics = evaluate(values, {**batch, "valid": valid})
    assert float(metrics["examples"][0]) == 2
    two = evaluate(values, {name: rows[:2] for name, rows in batch.items()})
    assert summarize(TASK, metrics) == pytest.approx(summarize(TASK, two), rel=1e-5)
    names = {
        f"{t}{s}_{c}" for t in ("", "bicubic/") for s in ("psnr", "ssim") for c in ("y", "rgb")
    }
    assert set(summarize(TASK, metrics)) == names | {"loss"}


@pytest.mark.parametrize("name", ["srresnet", "msrresnet"])
def test_tiles_give_the_whole_picture_inside_the_reach(name):
    net = NET if name == "srresnet" else zoo.msrresnet(2, 1, 4)
    values = variables(net)
    low = jax.nn.sigmoid(normal(2, 50, 37, 3))
    sizes = jnp.asarray([[50, 37], [41, 33]])
    side = 2 * net.reach + 6
    assert side < 37
    tiled = Upscale(net, tiles=Tiles(side, net.reach))
    whole = Upscale(net, tiles=Tiles(64, 0))
    ours, expected = (jax.jit(t.upscaled)(values, low, sizes) for t in (tiled, whole))
    for row, (height, width) in enumerate(np.asarray(2 * sizes)):
        ours_, expected_ = (x[row, :height, :width] for x in (ours, expected))
        np.testing.assert_allclose(ours_, expected_, atol=1e-5)
    seams = jax.jit(Upscale(net, tiles=Tiles(side, 0)).upscaled)(values, low, sizes)
    assert np.abs(np.asarray(seams - expected)[0]).max() > 1e-3  # without a margin there are some


def test_tiles_cover_every_pixel_and_end_at_the_end():
    tiles = Tiles(20, 6)
    for length in (1, 19, 20, 21, 28, 29, 100):
        starts, kept = tiles.starts(length), tiles.kept(length)
        covered = np.zeros(length, int)
        for start, stays in zip(starts, kept, strict=True):
            covered[start : start + len(stays)] += stays
        assert covered.min() >= 1
        assert starts[-1] == max(0, length - 20)
    with pytest.raises(
        ValueError, match="margin=10: expected at least 0 and below half of side 20"
    ):
        Tiles(20, 10)


def test_the_mask_is_what_makes_padding_harmless():
    values, low = variables(), jax.nn.sigmoid(normal(1, 9, 9, 3))
    real = jnp.ones((1, 9, 9, 1)).at[:, 6:].set(0)
    masked = apply_padded(NET, values, low, real)[:, :12]
    np.testing.assert_allclose(masked, NET.apply(values, low[:, :6], train=False), atol=1e-5)
    assert np.abs(masked - NET.apply(values, low, train=False)[:, :12]).max() > 1e-3


def test_turns_are_eight_and_each_has_its_inverse():
    image = jnp.arange(2 * 3 * 5).reshape(2, 3, 5, 1)
    seen = {np.asarray(turned(image, n)).tobytes() for n in range(COUNT)}
    assert len(seen) == COUNT
    for n in range(COUNT):
        np.testing.assert_array_equal(returned(turned(image, n), n), image)
    square = jnp.asarray(patches(64, 4))
    drawn = np.asarray(randomly_turned(jax.random.key(0), square))
    ways = [np.asarray(turned(square, n)) for n in range(COUNT)]
    number = [[n for n in range(COUNT) if (w[n] == row).all()] for row, w in zip(drawn, zip(*ways, strict=True), strict=True)]  # fmt: skip
    assert {n for each in number for n in each} == set(range(COUNT))


def test_the_ensemble_is_the_mean_over_turns():
    values, batch = variables(), padded(list(patches(2, 24)), (24, 26))
    task = dataclasses.replace(TASK, ensemble=True)
    metrics = summarize(task, jax.jit(task.evaluate)(values, batch))
    assert metrics["ensemble/psnr_y"] != metrics["psnr_y"]
    low, sizes = jax.jit(TASK.read)(values, batch)["low"] / 255, jnp.asarray([[12, 12], [12, 12]])
    net = jax.jit(lambda x: NET.apply(values, x, train=False))
    mean = sum(returned(net(turned(low[:, :, :12], n)), n) for n in range(COUNT)) / COUNT
    ours = jax.jit(task.upscaled, static_argnums=3)(values, low, sizes, True)[:, :, :24]
    np.testing.assert_allclose(ours, mean, atol=1e-5)


def test_a_picture_of_a_file_is_enlarged_in_its_own_type():
    values = variables()
    image = patches(1, 12)[0]
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535)):
        low = (image.astype(np.int64) * (white // 255)).astype(dtype)
        batch = {"image": jnp.zeros((1, 16, 16, 3), dtype).at[0, :12, :12].set(low), "padding": jnp.asarray([[4, 4]]), "low": jnp.asarray([True])}  # fmt: skip
        picture = np.asarray(jax.jit(TASK.predict)(values, batch)["picture"])
        assert picture.dtype == dtype
        expected = NET.apply(values, jnp.asarray(low)[None] / white, train=False)[0]
        off = np.abs(picture[0, :24, :24] / white - np.clip(expected, 0, 1))
        assert off.max() < 0.6 / white + 1e-5


def test_losses_by_hand():
    a, b = jnp.zeros((1, 4, 4, 3)), jnp.full((1, 4, 4, 3), 0.5)
    assert Absolute()(a, b)[0] == 0.5
    assert Squared()(a, b)[0] == 0.25


def test_a_perceptual_loss_is_of_features_that_are_not_trained():
    body = backbone()
    constants = {
        kind: tree["backbone"]
        for kind, tree in random_variables(Classifier(body, 3), (12, 12, 3)).items()
    }
    loss = Perceptual(body, IMAGENET, "stage1", weight=2.0, pixels=0.5)
    a, b = jnp.asarray(patches(2)) / 255, jnp.asarray(patches(2, seed=1)) / 255
    stages = jax.jit(lambda x: body.apply(constants, IMAGENET(255 * x), train=False))
    one, other = (stages(x)["stage1"] for x in (a, b))
    expected = 2 * jnp.square(one - other).mean((1, 2, 3)) + 0.5 * Absolute()(a, b)
    np.testing.assert_allclose(jax.jit(loss)(a, b, constants), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="feature='stage9': expected one of stem, stage1, stage2"):
        dataclasses.replace(loss, feature="stage9")(a, b, constants)
    task = Upscale(NET, loss)
    values, batch = variables(), {"image": jnp.asarray(patches(4))}
    value, (state, _) = jax.jit(task.loss)(
        {**values, CONSTANTS: constants}, batch, jax.random.key(0)
    )
    assert np.isfinite(value)
    assert CONSTANTS not in state
    assert "loss" in jax.eval_shape(task.evaluate, values, batch)  # needs no constants


def adversarial():
    return UpscaleAdversarially(WITH_NORM, judge=CRITIC, adversarial=0.1)


def test_each_player_s_gradient_is_that_of_its_own_loss():
    task, batch, rng = adversarial(), {"image": jnp.asarray(patches(8))}, jax.random.key(3)
    values = jax.jit(task.init)(jax.random.key(0), batch)
    state = {kind: tree for kind, tree in values.items() if kind != "params"}
    loss = jax.jit(jax.value_and_grad(lambda p: task.loss({"params": p, **state}, batch, rng), has_aux=True))  # fmt: skip
    (_, (new, _)), grads = loss(values["params"])

    def judged(params, pictures, stats):
        return CRITIC.apply({"params": params, "batch_stats": stats}, pictures, train=True, mutable=["batch_stats"])  # fmt: skip

    dropout, place = jax.random.split(rng)
    _, truth = task.patches(batch, place)
    stats = values["batch_stats"][JUDGE]
    model = task.of_model(values)

    def model_loss(params):
        ours, _ = task.enlarged({**model, "params": params}, task.reduced(truth), dropout)
        fake, _ = judged(values["params"][JUDGE], ours, stats)
        return (Absolute()(ours, truth / 255) + 0.1 * jax.nn.softplus(-fake)).mean()

    def judge_loss(params):
        ours, _ = task.enlarged(model, task.reduced(truth), dropout)
        real, seen = judged(params, truth / 255, stats)
        fake, _ = judged(params, ours, seen["batch_stats"])
        return (jax.nn.softplus(-real) + jax.nn.softplus(fake)).mean()

    expected = jax.jit(lambda m, j: {**jax.grad(model_loss)(m), JUDGE: jax.grad(judge_loss)(j)})(
        model["params"], values["params"][JUDGE]
    )
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=2e-6, rtol=2e-4), grads, expected
    )
    # The judge's running statistics took in truth, then results; the model's values its one pass.

    @jax.jit
    def statistics(values):
        ours, trained = task.enlarged(values, task.reduced(truth), dropout)
        _, seen = judged(values["params"][JUDGE], truth / 255, stats)
        _, seen = judged(values["params"][JUDGE], ours, seen["batch_stats"])
        return {**trained["batch_stats"], JUDGE: seen["batch_stats"]}

    expected = statistics(values)
    assert jax.tree.structure(new["batch_stats"]) == jax.tree.structure(values["batch_stats"])
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), new["batch_stats"], expected)  # fmt: skip


def test_evaluation_does_not_need_the_judge():
    task, batch = adversarial(), {"image": jnp.asarray(patches(2))}
    values = jax.jit(task.init)(jax.random.key(0), batch)
    alone = jax.jit(Upscale(WITH_NORM).evaluate)(task.of_model(values), batch)
    for name, (value, _) in jax.jit(task.evaluate)(values, batch).items():
        np.testing.assert_allclose(value, alone[name][0], rtol=1e-5, err_msg=name)


def players(params):
    return {name: "judge" if name == JUDGE else "model" for name in params}


OPTIMIZER = optax.partition({"model": optax.adam(2e-3), "judge": optax.adam(1e-3)}, players)


def train(folder, devices=1, kind=None):
    data = in_memory({"train": {"image": patches(48)}, "test": {"image": patches(19, seed=1)}})
    data = data if kind is None else kind(**fields(data))
    plan = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)
    return fit(adversarial(), OPTIMIZER, data, plan, folder, "players", make_mesh(devices))


@pytest.mark.slow
def test_two_players_killed_and_resumed_to_the_same_bits_and_equal_on_eight_devices(tmp_path):
    fitted = train(tmp_path / "one")
    with pytest.raises(Killed):
        train(tmp_path / "killed", kind=Dying)
    resumed = train(tmp_path / "killed")
    assert_bit_equal(resumed.state, fitted.state)
    assert resumed.metrics == fitted.metrics
    train(tmp_path / "eight", devices=8)
    for one, other in zip(lines(tmp_path / "one"), lines(tmp_path / "eight"), strict=True):
        assert one.keys() == other.keys()
        for key in one.keys() - {"split"}:
            assert one[key] == pytest.approx(other[key], rel=2e-3, abs=2e-3), key


def test_training_makes_pictures_better():
    batch = {"image": jnp.asarray(patches(16, 24))}
    net = zoo.srresnet(2, 2, 8, norm=False)
    task, optimizer = Upscale(net), optax.adam(3e-3)
    values = task.init(jax.random.key(0), batch)

    @jax.jit
    def step(values, state, key):
        grads = jax.grad(lambda p: task.loss({"params": p}, batch, key)[0])(values["params"])
        updates, state = optimizer.update(grads, state)
        return {"params": optax.apply_updates(values["params"], updates)}, state

    before = summarize(task, jax.jit(task.evaluate)(values, batch))
    state = optimizer.init(values["params"])
    for number in range(60):
        values, state = step(values, state, jax.random.key(number))
    after = summarize(task, jax.jit(task.evaluate)(values, batch))
    assert after["psnr_y"] > before["psnr_y"] + 5
    assert after["bicubic/psnr_y"] == before["bicubic/psnr_y"]


def test_a_crop_of_bicubic_result_and_truth_is_shown():
    image = patches(1, 24)[0]
    batch = {name: np.asarray(x) for name, x in padded([image], (32, 28)).items()}
    results = jax.device_get(jax.jit(TASK.predict)(variables(), batch))
    case = Case("a", {name: rows[0] for name, rows in batch.items()})
    picture = TASK.show({name: rows[0] for name, rows in results.items()}, case)
    assert picture.caption.startswith("reduced, bicubic ")
    assert picture.pixels.shape[0] % 24 == 0
    score = float(jax.jit(TASK.scores)(variables(), batch)[0])
    assert f"result {score:.2f} dB" in picture.caption
    factor = picture.pixels.shape[0] // 24
    np.testing.assert_array_equal(picture.pixels[::factor, -24 * factor :: factor], image)
    reduced, *_, truth = split_columns(picture.pixels)
    np.testing.assert_array_equal(truth[::factor, ::factor], image)
    np.testing.assert_array_equal(
        reduced[:: 2 * factor, :: 2 * factor], results["reduced"][0][:12, :12]
    )
    low = TASK.pictures({"image": jnp.asarray(image)[None]}, jax.random.key(0))
    assert low.shape == (1, 12, 12, 3)
    np.testing.assert_allclose(as_bytes(low * 255), low * 255, atol=1e-4)
