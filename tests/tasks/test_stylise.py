"""The task of nets that paint pictures: its losses, tiles, blends, files, bit-equal runs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jresnet.data.normalisation import IMAGENET
from jresnet.models import zoo
from jresnet.models.heads import Classifier
from jresnet.models.mirrored import apply_mirrored
from jresnet.recipes.restyling import RECIPES, RestyleRecipe
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import CONSTANTS, summarize
from jresnet.tasks.case import Case
from jresnet.tasks.style_losses import FeatureLoss, Scaled, grey, variation, with_colour_of
from jresnet.tasks.stylise import Stylise, reduced, tiles_for
from jresnet.tasks.tiles import Tiles
from jresnet.train.loop import Plan, fit
from tests.models.headed_nets import backbone
from tests.nets import normal, random_variables
from tests.tasks.test_upscale import patches
from tests.tasks.toys import in_memory
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_second_floor import Dying, fields, lines

NET = zoo.restyler(4, 1)
BODY = backbone()
LOSS = FeatureLoss(
    BODY, IMAGENET, ("stem", "stage1"), "stage1", style_weight=2.0, content_weight=0.5,
    variation_weight=0.3,
)  # fmt: skip
TASK = Stylise(NET, LOSS, flips=False)


def variables(net=NET):
    return random_variables(net, (16, 16, 3))


def constants(seed=5):
    """A random loss network, and the Gram matrices of two waves."""
    net = {
        kind: tree["backbone"]
        for kind, tree in random_variables(Classifier(BODY, 3), (16, 16, 3)).items()
    }
    style = jnp.asarray(patches(2, 24, seed)) / 255
    grams = jax.jit(lambda x: LOSS.grams(LOSS.features(net, x)))(style)
    return {"net": net, "grams": jax.device_get(grams)}


CONSTANT = constants()


def test_the_loss_is_that_of_its_parts_by_hand():
    values, batch = variables(), {"image": jnp.asarray(patches(3, 16))}
    known = {**values, CONSTANTS: CONSTANT}
    value, (state, metrics) = jax.jit(TASK.loss)(known, batch, jax.random.key(0))
    assert state == {}
    x = batch["image"] / 255
    y = NET.apply(values, x, train=True)

    def features(x):
        return BODY.apply(CONSTANT["net"], IMAGENET(255 * x), train=False)

    ours, theirs = jax.jit(features)(y), jax.jit(features)(x)
    style = np.zeros(3)
    for layer in ("stem", "stage1"):
        target = np.asarray(CONSTANT["grams"][layer]).mean(0)
        for row, f in enumerate(np.asarray(ours[layer], np.float64)):
            flat = f.reshape(-1, f.shape[-1])
            style[row] += np.square(flat.T @ flat / f.size - target).mean()
    content = np.square(ours["stage1"] - theirs["stage1"]).mean((1, 2, 3))
    expected = {"style": style, "content": content, "variation": variation(y)}
    for name, each in expected.items():
        assert float(metrics[name][0]) == pytest.approx(float(each.sum()), rel=1e-3), name
        assert float(metrics[name][1]) == 3
    whole = 2 * style + 0.5 * content + 0.3 * np.asarray(variation(y))
    assert float(value) == pytest.approx(whole.mean(), rel=1e-3)
    assert float(metrics["loss"][0]) == pytest.approx(whole.sum(), rel=1e-3)


def test_evaluation_measures_clipped_results_beside_the_pictures():
    values, images = variables(), jnp.asarray(patches(4, 16))
    batch = {"image": images, "valid": jnp.asarray([1.0, 1, 1, 0])}
    evaluate = jax.jit(TASK.evaluate)
    metrics = evaluate({**values, CONSTANTS: CONSTANT}, batch)
    three = evaluate({**values, CONSTANTS: CONSTANT}, {"image": images[:3]})
    assert float(metrics["examples"][0]) == 3
    assert summarize(TASK, metrics) == pytest.approx(summarize(TASK, three), rel=1e-4)
    x = images[:3] / 255
    y = jnp.clip(NET.apply(values, x, train=False), 0, 1)
    measured = summarize(TASK, metrics)
    assert measured["change"] == pytest.approx(float(jnp.abs(y - x).mean()), rel=1e-4)
    style_of = jax.jit(lambda pictures: LOSS(pictures, x, CONSTANT)[1]["style"].mean())
    assert measured["style"] == pytest.approx(float(style_of(y)), rel=1e-3)
    assert measured["original/style"] == pytest.approx(float(style_of(x)), rel=1e-3)
    # A run's own evaluation has no constants.
    alone = summarize(TASK, evaluate(values, batch))
    assert alone == {"change": pytest.approx(measured["change"], rel=1e-4)}
    scores = jax.jit(TASK.scores)({**values, CONSTANTS: CONSTANT}, batch)
    assert -float(scores[:3].mean()) == pytest.approx(measured["loss"], rel=1e-4)


def test_half_of_the_pictures_are_mirrored():
    batch = {"image": jnp.asarray(patches(64, 8))}
    task = dataclasses.replace(TASK, flips=True)
    shown = np.asarray(jax.jit(task.pictures)(batch, jax.random.key(1)))
    x = np.asarray(batch["image"], np.float32) / 255
    turned = [np.allclose(a, b[:, ::-1], atol=1e-6) for a, b in zip(shown, x, strict=True)]
    same = [np.allclose(a, b, atol=1e-6) for a, b in zip(shown, x, strict=True)]
    assert all(a != b for a, b in zip(turned, same, strict=True))
    assert 16 < sum(turned) < 48
    np.testing.assert_allclose(TASK.pictures(batch, jax.random.key(1)), x, atol=1e-6)


def test_colours_are_kept_and_luma_alone_compared():
    task = dataclasses.replace(TASK, keep_colour=True)
    values, batch = variables(), {"image": jnp.asarray(patches(2, 16))}
    x = batch["image"] / 255
    picture = np.asarray(jax.jit(task.predict)(values, batch)["picture"]) / 255
    y = jnp.clip(NET.apply(values, x, train=False), 0, 1)
    np.testing.assert_allclose(picture, with_colour_of(x, y), atol=0.51 / 255)
    _, (_, metrics) = jax.jit(task.loss)({**values, CONSTANTS: CONSTANT}, batch, jax.random.key(0))
    y = NET.apply(values, x, train=True)
    _, parts = LOSS(grey(y), grey(x), CONSTANT)
    assert float(metrics["style"][0]) == pytest.approx(float(parts["style"].sum()), rel=1e-3)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_blends_result_and_picture_in_the_picture_s_type(strength, dtype):
    task = dataclasses.replace(TASK, strength=strength)
    values, white = variables(), np.iinfo(dtype).max
    image = (patches(1, 16)[0].astype(np.int64) * (white // 255)).astype(dtype)
    padded = np.full((1, 20, 24, 3), white // 3, dtype)
    padded[0, :13, :16] = image[:13]
    batch = {"image": jnp.asarray(padded), "padding": jnp.asarray([[7, 8]])}
    picture = np.asarray(jax.jit(task.predict)(values, batch)["picture"])
    assert picture.dtype == dtype
    x = jnp.asarray(image[None, :13] / white, jnp.float32)
    y = np.clip(np.asarray(NET.apply(values, x, train=False)), 0, 1)
    expected = strength * y + (1 - strength) * np.asarray(x)
    off = np.abs(picture[:, :13, :16] / white - expected).max()
    assert off < 0.51 / white + 2e-4
    if strength == 0:
        np.testing.assert_array_equal(picture[0, :13, :16], image[:13])


def test_tiles_make_the_picture_that_one_piece_with_the_same_moments_makes():
    tiles = Tiles(60, 28, 4)
    assert NET.reach <= tiles.margin
    task, values = dataclasses.replace(TASK, tiles=tiles), variables()
    pictures = jax.nn.sigmoid(normal(4, 64, 80, 3))
    sizes = jnp.asarray([[60, 76], [33, 50], [41, 33], [64, 80]])
    painted = jax.jit(task.painted)(values, pictures, sizes)

    @jax.jit
    def in_one_piece(pictures, sizes):
        _, moments = apply_mirrored(NET, values, reduced(pictures, 2, 4), sizes // 2)
        whole, _ = apply_mirrored(NET, values, pictures, sizes, moments)
        alone, _ = apply_mirrored(NET, values, pictures[:, :60, :60], jnp.minimum(sizes, 60))
        return whole, alone

    whole, alone = in_one_piece(pictures, sizes)
    for row, (height, width) in enumerate(np.asarray(sizes)):
        ours, expected = (x[row, :height, :width] for x in (painted, whole))
        np.testing.assert_allclose(ours, expected, atol=2e-4)
    # With moments of its own each tile would be another picture.
    assert np.abs(np.asarray(alone - whole[:, :60, :60])[0, :30, :30]).max() > 1e-3


def test_a_picture_as_large_as_a_tile_is_painted_in_one_piece():
    task, values = dataclasses.replace(TASK, tiles=Tiles(64, 28, 4)), variables()
    strip = jax.nn.sigmoid(normal(1, 16, 128, 3))  # longer, but with fewer pixels
    ours = jax.jit(task.painted)(values, strip, jnp.asarray([[16, 128]]))
    expected = NET.apply(values, strip, train=False)
    np.testing.assert_allclose(ours, expected, atol=2e-4)


def test_tiles_begin_where_strides_do():
    tiles = tiles_for(NET, 88)
    assert (tiles.side % 4, tiles.margin % 4, tiles.step) == (0, 0, 4)
    assert NET.reach <= tiles.margin < NET.reach + 4
    for length in (4, tiles.side, tiles.side + 4, 200, 1000):
        starts, kept = tiles.starts(length), tiles.kept(length)
        assert (starts % 4 == 0).all()
        assert starts[-1] == max(0, length - tiles.side)
        covered = np.zeros(length, int)
        for start, stays in zip(starts, kept, strict=True):
            covered[start : start + len(stays)] += stays
        assert covered.min() >= 1
    with pytest.raises(ValueError, match="side=30, margin=4: expected multiples of step 4"):
        Tiles(30, 4, 4)


def test_reduced_pictures_are_means_of_squares():
    x = np.asarray(normal(1, 14, 11, 3))
    y = np.asarray(reduced(jnp.asarray(x), 3, 4))
    assert y.shape == (1, 4, 4, 3)
    np.testing.assert_allclose(y[0, 2, 1], x[0, 6:9, 3:6].mean((0, 1)), rtol=1e-5)
    assert (y[0, :, 3] == 0).all()


def test_a_task_without_a_criterion_predicts_and_does_not_train():
    task = Stylise(NET)
    batch = {"image": jnp.asarray(patches(1, 16))}
    assert jax.jit(task.predict)(variables(), batch)["picture"].shape == (1, 16, 16, 3)
    with pytest.raises(ValueError, match="criterion=None: expected a FeatureLoss"):
        task.loss({**variables(), CONSTANTS: CONSTANT}, batch, jax.random.key(0))


def test_the_recipe_s_losses_are_relative():
    style = np.asarray(patches(1, 32)[0], np.float32) / 255
    recipe = RestyleRecipe(1, 1, 1e-3, 16, content_weight=0.5)
    fields = {"backbone": BODY, "normalize": IMAGENET, "style": ("stem", "stage1"), "content": "stage1"}  # fmt: skip
    loss, known = recipe.criterion(CONSTANT["net"], [style], **fields)
    targets = loss.targets(known)
    nothing = {layer: jnp.zeros_like(gram)[None] for layer, gram in targets.items()}
    assert float(loss.of_style(nothing, targets)[0]) == pytest.approx(1, rel=1e-3)
    features = loss.features(known["net"], jnp.asarray(style)[None])
    flat = features["stage1"].mean((1, 2), keepdims=True)
    content = float(loss.of_content(features, jnp.broadcast_to(flat, features["stage1"].shape))[0])
    assert loss.content_weight * content == pytest.approx(0.5, rel=1e-3)
    # Features that are all 0 have no scale: nothing is divided by it.
    dead = jax.tree.map(np.zeros_like, CONSTANT["net"])
    loss, _ = recipe.criterion(dead, [style], **fields)
    assert loss.content_weight == 0.5
    assert np.isfinite(loss.layer_weights).all()


def test_layers_that_are_scaled_down_weigh_less():
    """The units are those of plain features: by its own, a scaled layer would weigh what it did."""
    style = np.asarray(patches(1, 32)[0], np.float32) / 255
    recipe = RestyleRecipe(1, 1, 1e-3, 16)
    fields = {"backbone": BODY, "normalize": IMAGENET, "style": ("stem", "stage1"), "content": "stem"}  # fmt: skip
    plain, known = recipe.criterion(CONSTANT["net"], [style], **fields)
    scaled, less = recipe.criterion(
        CONSTANT["net"], [style], smoothing=Scaled(0.1, ("stage1",)), **fields
    )
    assert scaled.layer_weights == plain.layer_weights
    np.testing.assert_allclose(less["grams"]["stem"], known["grams"]["stem"], rtol=1e-6)
    np.testing.assert_allclose(less["grams"]["stage1"], 0.01 * known["grams"]["stage1"], rtol=1e-4)
    pictures = jnp.asarray(patches(2, 16), jnp.float32) / 255
    parts = [loss(pictures, pictures, each)[1]["style"] for loss, each in ((plain, known), (scaled, less))]  # fmt: skip
    only_stem = dataclasses.replace(plain, style=("stem",), layer_weights=plain.layer_weights[:1])(
        pictures, pictures, known
    )[1]["style"]
    assert (parts[1] < parts[0]).all()
    np.testing.assert_allclose(
        parts[1] - only_stem, 1e-4 * (parts[0] - only_stem), rtol=0.05, atol=1e-6
    )


def train(folder, devices=1, kind=None):
    data = in_memory({"train": {"image": patches(48)}, "test": {"image": patches(19, seed=1)}})
    data = data if kind is None else kind(**fields(data))
    plan = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)
    task = dataclasses.replace(TASK, flips=True)
    mesh = make_mesh(devices)
    return fit(task, optax.adam(2e-3), data, plan, folder, "painter", mesh, constants=CONSTANT)


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_bits_and_equal_on_eight_devices(tmp_path):
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
            assert one[key] == pytest.approx(other[key], rel=2e-3, abs=2e-4), key


@pytest.mark.slow
def test_training_takes_on_the_style():
    batch = {"image": jnp.asarray(patches(8, 24))}
    optimizer, net = optax.adam(5e-3), zoo.restyler(8, 1)
    style = np.zeros((32, 32, 3), np.float32)
    style[::3, :, 0] = style[:, ::4, 1] = 1  # red and green bars
    recipe = dataclasses.replace(RECIPES["small"], variation_weight=0.0, content_weight=0.0)
    loss, known = recipe.criterion(
        CONSTANT["net"], [style], backbone=BODY, normalize=IMAGENET,
        style=("stem", "stage1"), content="stage1",
    )  # fmt: skip
    task = Stylise(net, loss)
    values = jax.jit(task.init)(jax.random.key(0), batch)

    @jax.jit
    def step(values, state, key):
        known_too = {CONSTANTS: known}
        grads = jax.grad(lambda p: task.loss({"params": p, **known_too}, batch, key)[0])(values["params"])  # fmt: skip
        updates, state = optimizer.update(grads, state)
        return {"params": optax.apply_updates(values["params"], updates)}, state

    state = optimizer.init(values["params"])
    for number in range(80):
        values, state = step(values, state, jax.random.key(number))
    after = summarize(task, jax.jit(task.evaluate)({**values, CONSTANTS: known}, batch))
    assert after["style"] < 0.3 * after["original/style"]


def test_a_picture_and_its_result_are_shown_with_their_losses():
    image = patches(1, 16)[0]
    batch = {"image": jnp.asarray(image)[None]}
    results = jax.device_get(jax.jit(TASK.predict)({**variables(), CONSTANTS: CONSTANT}, batch))
    one = {name: rows[0] for name, rows in results.items()}
    picture = TASK.show(one, Case("a", {"image": image}))
    assert picture.caption.startswith("style loss ")
    assert picture.pixels.shape[0] % 16 == 0
    factor = picture.pixels.shape[0] // 16
    np.testing.assert_array_equal(picture.pixels[::factor, : 16 * factor : factor], image)
    alone = TASK.show({"picture": one["picture"]}, Case("a", {"image": image}))
    assert alone.caption == "picture, result"
