"""Blended windows: their weights, nets for which they change nothing, and the memory they need."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jresnet.data.augment.geometry import IGNORED
from jresnet.tasks.base import summarize
from jresnet.tasks.boundaries import SegmentWithBoundaries
from jresnet.tasks.map_scores import classes_of, mean_iou
from jresnet.tasks.scales import Scales
from jresnet.tasks.segment import Segment
from jresnet.tasks.windows import Windows, put
from jresnet.train.step import make_eval_step


class Local(nn.Module):
    """Logits of each pixel from those at most `reach` away."""

    classes: int = 3
    reach: int = 1

    @nn.compact
    def __call__(self, x, *, train):
        del train
        return nn.Conv(self.classes, (2 * self.reach + 1,) * (x.ndim - 2), name="out")(x)


def local(size, reach=1, channels=2, seed=0):
    """A net of that reach with its images `[2, *size, channels]`."""
    net = Local(reach=reach)
    images = jax.random.normal(jax.random.key(seed), (2, *size, channels))
    variables = net.init(jax.random.key(1), images, train=False)
    return lambda x: net.apply(variables, x, train=False), images


@pytest.mark.parametrize("blend", ["gaussian", "triangular"])
def test_weights_add_up_to_one_at_every_pixel(blend):
    for length, side, overlap, margin in itertools.product(
        (1, 7, 16, 23, 64), (5, 8, 16), (0.0, 0.3, 0.5, 0.9), (0, 2)
    ):
        windows = Windows((side,), overlap, blend, margin)
        (side,) = windows.sides((length,))
        starts, weights = windows.starts(length, side), windows.weights(length, side)
        total = np.zeros(length)
        for start, each in zip(starts, weights, strict=True):
            total[start : start + side] += each
        np.testing.assert_allclose(total, 1, atol=1e-6, err_msg=str((length, side, overlap)))
        assert starts[0] == 0
        assert starts[-1] == length - side
        most = max(1, min(int(side * (1 - overlap)), side - 2 * margin))
        assert (np.diff(starts) <= most).all()


def test_a_pixel_weighs_less_at_the_edge_of_a_window():
    for blend in ("gaussian", "triangular"):
        first = Windows((9,), 0.5, blend).weights(14, 9)[0]
        assert first[0] == 1  # no other window has it
        assert (np.diff(first) <= 0).all()
        assert 0 < first[-1] < 0.2


SIZES = [((21, 18), (8, 9)), ((21, 6), (8, 9)), ((6, 30), (8, 9)), ((13, 11, 10), (6, 11, 7))]


@pytest.mark.parametrize(("size", "side"), SIZES)
@pytest.mark.parametrize("blend", ["gaussian", "triangular"])
def test_a_net_that_sees_no_further_than_the_margin_gives_what_it_gives_for_the_whole(
    size, side, blend
):
    net, images = local(size)
    windows = Windows(side, 0.4, blend, margin=1)
    blended = jax.jit(lambda x: windows.logits(net, x))(images)
    np.testing.assert_allclose(blended, net(images), atol=1e-5)


def test_without_a_margin_windows_are_those_of_numpy():
    net, images = local((21, 18))
    windows = Windows((8, 9), 0.5)
    total, weights = np.zeros((2, 21, 18, 3)), np.zeros((21, 18, 1))
    fall = [np.exp(-0.5 * ((np.arange(s) - (s - 1) / 2) / (s / 8)) ** 2) for s in (8, 9)]
    each = np.outer(*fall)[..., None]
    for y, x in itertools.product(windows.starts(21, 8), windows.starts(18, 9)):
        total[:, y : y + 8, x : x + 9] += each * np.asarray(net(images[:, y : y + 8, x : x + 9]))
        weights[y : y + 8, x : x + 9] += each
    blended = jax.jit(lambda x: windows.logits(net, x))(images)
    np.testing.assert_allclose(blended, total / weights, atol=1e-5)
    assert np.abs(blended - net(images)).max() > 1e-3  # the net sees over the edges


def test_a_constant_net_gives_constants():
    windows = Windows((8, 8, 8), 0.7)
    net = lambda x: jnp.full((*x.shape[:-1], 2), 3.0)  # noqa: E731
    blended = jax.jit(lambda x: windows.logits(net, x))(jnp.zeros((1, 19, 8, 13, 1)))
    np.testing.assert_allclose(blended, 3, rtol=1e-6)


def test_an_image_smaller_than_the_window_is_seen_whole_and_at_once():
    net, images = local((6, 7))
    calls = []

    def take(so_far, row, logits):
        calls.append((row, logits.shape))
        return so_far + 1

    assert Windows((8, 9)).fold(net, images, 0, take) == 1
    assert calls == [(0, (2, 6, 7, 3))]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": ()}, r"size=\(\): expected a number of pixels for each axis"),
        ({"size": (8, 0)}, r"size=\(8, 0\): expected"),
        ({"size": (8,), "overlap": 1.0}, "overlap=1.0: expected at least 0 and below 1"),
        ({"size": (8,), "margin": 4}, "margin=4: expected at least 0 and below half of size"),
    ],
)
def test_windows_that_cannot_be_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Windows(**fields)


def test_windows_of_another_rank_are_refused():
    with pytest.raises(
        ValueError, match=r"size=\(8, 8\): expected 3 numbers, the images are 9x9x9"
    ):
        Windows((8, 8)).logits(*local((9, 9, 9)))


def memory(side, window, classes=100):
    """Bytes beside arguments and results of a program that labels a cube, and of logits whole."""
    kernel = jnp.ones((1, classes))
    windows = Windows((window,) * 3)

    def labels(images):
        def take(so_far, row, logits):
            return put(so_far, row, classes_of(logits))

        empty = jnp.zeros(images.shape[:-1], jnp.uint8)
        return windows.fold(lambda x: x @ kernel, images, empty, take)

    image = jax.ShapeDtypeStruct((1, side, side, side, 1), jnp.float32)
    analysis = jax.jit(labels).lower(image).compile().memory_analysis()
    return analysis.temp_size_in_bytes, side**3 * classes * 4


def test_memory_grows_with_a_row_of_windows_and_not_with_the_volume():
    for side in (64, 128):
        used, whole = memory(side, 16)
        assert used < 1.1 * whole * 16 / side
    used, whole = memory(384, 96)  # compiled, not run: 22.6 GB of logits
    assert used < 5.8e9 < whole / 3.9


CLASSES = ("a", "b", "c")


def task(kind=Segment, **fields):
    return kind(Local(), lambda x: x / 255.0, classes=CLASSES, **fields)


def batch(size, count=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (count, *size)).astype(np.int32)
    labels[:, 0] = IGNORED
    image = rng.integers(0, 256, (count, *size, 3), np.uint8)
    valid = np.ones(count, np.float32)
    valid[-1] = 0
    arrays = {"image": image, "map": labels, "valid": valid}
    return {name: jnp.asarray(array) for name, array in arrays.items()}


@pytest.mark.parametrize(("size", "side"), [((19, 14), (8, 6)), ((9, 8, 12), (6, 8, 6))])
def test_the_task_says_the_same_in_windows_as_of_the_whole(size, side):
    whole, parts = task(), task(windows=Windows(side, margin=1))
    rows = batch(size)
    variables = whole.init(jax.random.key(0), rows)

    def all_of(task):
        methods = (task.evaluate, task.predict, task.outputs, task.scores)
        return jax.jit(lambda *args: [method(*args) for method in methods])(variables, rows)

    wanted, got = all_of(whole), all_of(parts)
    np.testing.assert_array_equal(got[0]["confusion"][0], wanted[0]["confusion"][0])
    assert got[0]["examples"][0] == 2
    assert summarize(parts, got[0]) == pytest.approx(summarize(whole, wanted[0]), rel=1e-5)
    for maps, others in zip(wanted[1:3], got[1:3], strict=True):
        assert maps.keys() == others.keys()
        for key, array in maps.items():
            np.testing.assert_array_equal(others[key], array)
            assert others[key].dtype == array.dtype
    one, other = np.asarray(wanted[3]), np.asarray(got[3])
    np.testing.assert_allclose(other[:2], one[:2], rtol=1e-6)
    images = whole.normalize(rows["image"])
    labels = np.asarray(whole.model.apply(variables, images, train=False)).argmax(-1)
    matrix = np.zeros((3, 3), int)
    kept = np.asarray(rows["map"])[0] != IGNORED
    np.add.at(matrix, (np.asarray(rows["map"])[0][kept], labels[0][kept]), 1)
    assert one[0] == pytest.approx(float(mean_iou(jnp.asarray(matrix))))


def test_metrics_and_outputs_come_out_of_one_walk():
    rows = batch((20, 20))
    several = task(SegmentWithBoundaries, windows=Windows((8, 8)))
    variables = several.init(jax.random.key(0), rows)
    step, nothing = make_eval_step(several)
    # Before compilation: some versions of XLA make one of two equal loops, others do not.
    both = str(jax.make_jaxpr(step)(variables, rows, nothing(variables, rows)))
    alone = str(jax.make_jaxpr(several.evaluate)(variables, rows))
    for operation in (" scan[", " while[", "conv_general_dilated["):
        assert both.count(operation) == alone.count(operation) > 0


def probabilities(net, images, scales, mirrored):
    """The mean over the views, without windows and without logs."""
    total, count = 0, 0
    for scale, flip in itertools.product(scales, (False, True) if mirrored else (False,)):
        size = [round(scale * side) for side in images.shape[1:-1]]
        view = jax.image.resize(images, (2, *size, images.shape[-1]), "linear", antialias=True)
        logits = net(view[:, :, ::-1] if flip else view)
        logits = logits[:, :, ::-1] if flip else logits
        shape = (*images.shape[:-1], logits.shape[-1])
        logits = jax.image.resize(logits, shape, "linear", antialias=False)
        total, count = total + jax.nn.softmax(logits), count + 1
    return total / count


@pytest.mark.parametrize("mirrored", [False, True])
def test_views_are_the_mean_of_probabilities(mirrored):
    net, images = local((12, 16))
    seen = Scales((0.5, 1.0, 1.5), mirrored).logits(net, images)
    wanted = probabilities(net, images, (0.5, 1.0, 1.5), mirrored)
    np.testing.assert_allclose(jnp.exp(seen), wanted, atol=1e-5)


def test_views_of_one_sigmoid_are_the_odds_of_their_mean():
    net, images = local((12, 16))
    one = lambda x: net(x)[..., :1]  # noqa: E731
    seen = Scales((1.0,)).logits(one, images)
    mirror = one(images[:, :, ::-1])[:, :, ::-1]
    wanted = (jax.nn.sigmoid(one(images)) + jax.nn.sigmoid(mirror)) / 2
    np.testing.assert_allclose(jax.nn.sigmoid(seen), wanted, atol=1e-6)


def test_views_are_scores_apart():
    rows = batch((12, 16))
    several = task(views=Scales((1.5,)), windows=Windows((9, 9), margin=1))
    variables = several.init(jax.random.key(0), rows)
    scores = summarize(several, jax.jit(several.evaluate)(variables, rows))
    plain = dataclasses.replace(several, views=None)
    alone = summarize(plain, jax.jit(plain.evaluate)(variables, rows))
    assert {name: scores[name] for name in alone} == pytest.approx(alone)
    extra = {"views/mean_iou", "views/mean_dice", "views/pixel_accuracy", "views/mean_accuracy"}
    assert scores.keys() - alone.keys() == extra
    assert scores["views/mean_iou"] != pytest.approx(scores["mean_iou"], rel=1e-4)
    itself = dataclasses.replace(plain, views=Scales((1.0,), mirrored=False), windows=None)
    same = summarize(itself, jax.jit(itself.evaluate)(variables, rows))
    assert same["views/mean_iou"] == pytest.approx(same["mean_iou"], rel=1e-6)
    with pytest.raises(ValueError, match=r"factors=\(\): expected at least one number above 0"):
        Scales(())
