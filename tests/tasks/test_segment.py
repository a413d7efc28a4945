"""The task of label maps: its scores, what is ignored, and nets of every kind of output."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.augment.places import Crop, Flip
from jresnet.data.pipeline import ImageData
from jresnet.data.sources.array_set import ArraySet
from jresnet.runtime.mesh import make_mesh
from jresnet.tasks.base import add, summarize
from jresnet.tasks.boundaries import SegmentWithBoundaries
from jresnet.tasks.case import Case
from jresnet.tasks.map_scores import confusion_matrices, map_metrics, scores_of
from jresnet.tasks.scales import Scales
from jresnet.tasks.segment import Segment
from jresnet.tasks.windows import Windows
from jresnet.train.loop import Plan, fit
from tests.nets import read_arrays
from tests.tasks.toys import scenes
from tests.train.test_loop import Killed, assert_bit_equal
from tests.train.test_second_floor import Dying

CLASSES = ("dark", "bright")


class Pixelwise(nn.Module):
    """A map from each pixel's neighbourhood; `outputs` names more of them."""

    classes: int = 2
    outputs: tuple[str, ...] = ()

    @nn.compact
    def __call__(self, x, *, train):
        del train
        maps = {"out": nn.Conv(self.classes, (3, 3), name="out")(x)}
        for name in self.outputs:
            strides = (2, 2) if name.startswith("level") else (1, 1)
            maps[name] = nn.Conv(self.classes, (3, 3), strides, name=name)(x)
        return maps if self.outputs else maps["out"]


def task(**fields):
    return Segment(Pixelwise(), lambda x: x / 255.0, classes=CLASSES, **fields)


def data(count=64, seed=0):
    return {k: v for k, v in scenes(count, seed).items() if k in ("image", "map")}


@pytest.mark.parametrize("case", ["stats_multiclass", "stats_binary"])
def test_counts_are_those_of_segmentation_models_pytorch(golden, case):
    gold = read_arrays(golden / "segmentation_losses.npz")
    prefix = "binary_" if case == "stats_binary" else ""
    logits = np.moveaxis(gold[f"data/{prefix}logits"], 1, -1)
    labels = gold[f"data/{prefix}labels"].reshape(logits.shape[:-1])
    matrices = np.asarray(confusion_matrices(jnp.asarray(logits), {"map": jnp.asarray(labels)}))
    diagonal = np.stack([np.diag(m) for m in matrices])
    counts = {"tp": diagonal, "fp": matrices.sum(1) - diagonal, "fn": matrices.sum(2) - diagonal}
    for name, count in counts.items():
        wanted = gold[f"{case}/{name}"]
        np.testing.assert_array_equal(count[:, -wanted.shape[1] :], wanted, err_msg=name)
    # Theirs counts the class that occurs nowhere as 1 in one mean and as 0 in another.
    scores = scores_of(matrices.sum(0))
    tp, fp, fn = (gold[f"{case}/{name}"].sum(0) for name in ("tp", "fp", "fn"))
    for number, (a, b, c) in enumerate(
        zip(tp, fp, fn, strict=True), 2 - tp.size if tp.size == 1 else 0
    ):
        assert scores[f"iou/{number}"] == pytest.approx(a / (a + b + c))
        assert scores[f"dice/{number}"] == pytest.approx(2 * a / (2 * a + b + c))


def test_scores_by_hand():
    scores = scores_of(np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert scores["iou/a"] == pytest.approx(6 / 9)
    assert scores["iou/b"] == pytest.approx(3 / 6)
    assert "iou/c" not in scores  # it occurs nowhere
    assert scores["mean_iou"] == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert scores["dice/a"] == pytest.approx(12 / 15)
    assert scores["pixel_accuracy"] == pytest.approx(9 / 12)
    assert scores["mean_accuracy"] == pytest.approx((6 / 8 + 3 / 4) / 2)


def test_rows_of_the_matrix_are_the_truth():
    logits = jnp.array([[[0.0, 9.0, 0.0]] * 2])  # class 1 for both pixels
    matrix = confusion_matrices(logits[:, None], {"map": jnp.array([[[0, 2]]])})[0]
    np.testing.assert_array_equal(matrix, [[0, 1, 0], [0, 0, 0], [0, 1, 0]])


def test_scores_of_a_split_are_not_means_of_batches():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(5, 6, 7, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 3, (5, 6, 7)))
    whole = map_metrics(logits, {"map": labels})
    parts = [map_metrics(logits[i : i + 2], {"map": labels[i : i + 2]}) for i in (0, 2, 4)]
    summed = add(add(parts[0], parts[1]), parts[2])
    np.testing.assert_array_equal(summed["confusion"][0], whole["confusion"][0])
    assert summed["examples"][0] == 5
    assert whole["confusion"][0].dtype == jnp.uint32  # float32 counts to 16.7 million only
    assert int(np.sum(whole["confusion"][0])) == labels.size


def test_ignored_pixels_and_padded_rows_count_for_nothing():
    batch = {name: jnp.asarray(x[:4]) for name, x in data().items()}
    variables = task().init(jax.random.key(0), batch)
    alone = summarize(task(), task().evaluate(variables, {k: x[:3] for k, x in batch.items()}))
    valid = jnp.array([1.0, 1, 1, 0])
    padded = task().evaluate(variables, {**batch, "valid": valid})
    assert padded["examples"][0] == 3
    assert summarize(task(), padded) == pytest.approx(alone, rel=1e-6)
    strange = {**batch, "map": batch["map"].at[:, :2].set(IGNORED)}
    moved = {**strange, "image": batch["image"]}
    other = task().evaluate(variables, moved)["confusion"][0]
    rows = task().evaluate(variables, batch)["confusion"][0]
    assert int(rows.sum()) - int(other.sum()) == int((batch["map"][:, :2] != IGNORED).sum())


def test_all_ignored_is_a_loss_of_0_and_no_score():
    batch = {name: jnp.asarray(x[:2]) for name, x in data().items()}
    batch["map"] = jnp.full_like(batch["map"], IGNORED)
    variables = task().init(jax.random.key(0), batch)
    value, (_, metrics) = task().loss(variables, batch, jax.random.key(1))
    assert value == 0
    assert int(metrics["confusion"][0].sum()) == 0
    grads = jax.grad(lambda p: task().loss({"params": p}, batch, jax.random.key(1))[0])
    assert not any(np.any(g) for g in jax.tree.leaves(grads(variables["params"])))
    assert np.isnan(summarize(task(), task().evaluate(variables, batch))["mean_iou"])


def test_auxiliary_maps_and_levels_are_weighed():
    net = Pixelwise(outputs=("level1", "aux"))
    several = dataclasses.replace(task(auxiliary=0.5), model=net)
    batch = {name: jnp.asarray(x[:4]) for name, x in data().items()}
    variables = several.init(jax.random.key(0), batch)
    value, _ = several.loss(variables, batch, jax.random.key(1))
    maps = net.apply(variables, batch["image"] / 255.0, train=True)
    assert maps["level1"].shape == (4, 6, 6, 2)
    parts = {name: several._criterion(maps[name], batch) for name in maps}
    wanted = 2 / 3 * parts["out"] + 1 / 3 * parts["level1"] + 0.5 * parts["aux"]
    assert value == pytest.approx(float(wanted), rel=1e-6)
    # A level reads the map at the centre of its pixels.
    low = np.asarray(batch["map"])[:, 1::2, 1::2]
    alone = several.criterion(maps["level1"], jnp.asarray(low), jnp.asarray(low != IGNORED))
    assert parts["level1"] == pytest.approx(float(alone), rel=1e-6)


def test_one_output_is_a_sigmoid():
    one = dataclasses.replace(task(), model=Pixelwise(1))
    batch = {name: jnp.asarray(x[:4]) for name, x in data().items()}
    variables = one.init(jax.random.key(0), batch)
    value, _ = one.loss(variables, batch, jax.random.key(1))
    logits = one.model.apply(variables, batch["image"] / 255.0, train=True)[..., 0]
    counted = batch["map"] != IGNORED
    losses = optax.sigmoid_binary_cross_entropy(logits, batch["map"].astype(jnp.float32))
    assert value == pytest.approx(float(losses[counted].mean()), rel=1e-6)
    labels = one.predict(variables, batch)["map"]
    np.testing.assert_array_equal(labels, logits > 0)


PLAN = Plan(6, seed=1, eval_every=3, save_every=2, log_every=2)


def everything(**fields):
    """The task with all that evaluation can be asked for."""
    windows = Windows((8, 8))
    plain = task(windows=windows, views=Scales((1.0,)), **fields)
    return SegmentWithBoundaries(
        **{f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)}
    )


def train(folder, plan=PLAN, devices=1, kind=ImageData, make=task):
    maps = ArraySet({"train": data(), "test": data(19, 1)})
    moving = make(places=(Flip(), Crop((10, 10))))
    mesh = make_mesh(devices)
    return fit(moving, optax.adam(1e-2), kind(maps, 16, 16), plan, folder, "maps", mesh)


@pytest.mark.parametrize("make", [task, pytest.param(everything, marks=pytest.mark.slow)])
def test_killed_and_resumed_to_the_same_bits_and_equal_on_eight_devices(tmp_path, make):
    whole = train(tmp_path / "whole", make=make)
    with pytest.raises(Killed):
        train(tmp_path / "killed", kind=Dying, make=make)
    resumed = train(tmp_path / "killed", make=make)
    assert_bit_equal(resumed.state, whole.state)
    assert resumed.metrics == whole.metrics
    eight = train(tmp_path / "eight", devices=8, make=make)
    assert eight.metrics["test"] == pytest.approx(whole.metrics["test"], rel=2e-3)
    extra = {"views/mean_iou", "hausdorff95/dark", "missed/bright"}
    assert extra.issubset(whole.metrics["test"]) == (make is everything)


def test_a_map_is_learnt(tmp_path):
    fitted = train(tmp_path, dataclasses.replace(PLAN, steps=100, eval_every=None, save_every=None))
    scores = fitted.metrics["test"]
    assert scores["mean_iou"] > 0.9
    assert set(scores) >= {"loss", "iou/dark", "iou/bright", "dice/bright", "pixel_accuracy"}


def test_a_prediction_is_told_at_the_size_of_the_original():
    rng = np.random.default_rng(0)
    original = rng.integers(0, 255, (20, 30, 3), np.uint8)
    labels = np.zeros((10, 15), np.uint8)
    labels[:, :5] = 1
    place = np.array([[2.0, 0, 0], [0, 2, 0]])
    case = Case("x.png", {}, CLASSES, lambda: original, place)
    told = task().present({"map": labels}, case, draw=True)
    assert told.images["map"].shape == (20, 30)
    assert told.rows == [("dark", "0.6667"), ("bright", "0.3333")]
    assert told.record["classes"][1] == {
        "class": "bright",
        "number": 1,
        "share": 1 / 3,
        "pixels": 200,
    }
    assert told.drawing is not None
    assert told.drawing.shape[0] >= 20
    assert told.images["colours"].shape == (20, 30, 3)
    assert task().present({"map": labels}, case, draw=False).drawing is None


def test_truth_and_prediction_stand_side_by_side():
    arrays = {name: x[0] for name, x in data().items()}
    shown = task().show({"map": arrays["map"].astype(np.uint8)}, Case("1", arrays, CLASSES))
    assert shown.pixels.shape == (12, 3 * 12 + 2, 3)  # white lines between them
    assert [meaning for _, meaning in task().legend(())] == list(CLASSES)
