"""The task of detection: truth, padding, crowds, mirror images, scores, and what people are shown."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data import runs
from jresnet.data.augment.geometry import carry
from jresnet.data.normalisation import IMAGENET
from jresnet.data.sources.shape_objects import ShapeObjects
from jresnet.data.with_boxes import FitWithBoxes
from jresnet.models.detection.proposals import Detections
from jresnet.tasks import objects
from jresnet.tasks.base import summarize
from jresnet.tasks.case import Case
from jresnet.tasks.detect import Detect
from jresnet.tasks.detection_case import detections_in
from tests.models.tiny_detectors import tiny

CLASSES = ("circle", "square", "triangle")
SIZE = (48, 80)  # images of 64 x 64 fill 48 x 48 of it


def batch(count=4, kind="faster", size=SIZE):
    """Made-up pictures with their objects, padded at the right."""
    cells = 14 if kind == "mask" else None
    fit = FitWithBoxes(size, limit=4, cells=cells, runs=129 if cells else None)
    source, rng = ShapeObjects().open("train"), np.random.default_rng(0)
    rows = [fit(source[index], rng) for index in range(count)]
    arrays = {name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0]}
    if kind == "keypoint":
        boxes = arrays["boxes"]
        points = boxes.reshape(*boxes.shape[:2], 2, 2)
        seen = jnp.where(arrays["class"] >= 0, 2.0, 0.0)[..., None, None]
        arrays["keypoints"] = jnp.concatenate(
            [points, jnp.broadcast_to(seen, (count, 4, 2, 1))], -1
        )
    return arrays | {"valid": jnp.ones(count), "index": jnp.arange(count)}


def task(kind="faster", **fields):
    net = tiny(kind).clone(num_classes=4)
    return Detect(net, IMAGENET, classes=CLASSES, mirrored=(1, 0), **fields)


@functools.cache
def started(kind):
    """Fresh variables, and the compiled loss with its gradient, and evaluation."""
    one = task(kind)
    variables = jax.jit(one.init)(jax.random.key(0), batch(kind=kind))
    return variables, jax.jit(jax.value_and_grad(one.loss, has_aux=True)), jax.jit(one.measured)


@pytest.mark.slow  # nets compile for seconds
@pytest.mark.parametrize("kind", ["faster", "mask", "keypoint"])
def test_losses_are_named_apart_in_training_and_evaluation(kind):
    variables, loss, measured = started(kind)
    rows = batch(kind=kind)
    (value, (state, metrics)), _ = loss(variables, rows, jax.random.key(1))
    names = {"objectness", "rpn_box", "class", "box"} | ({kind} - {"faster"})
    totals, outputs = measured(variables, rows)
    for each in (metrics, totals):
        parts = summarize(None, each)
        assert {name for name in parts if "/" in name} == {f"loss/{name}" for name in names}
        assert sum(v for name, v in parts.items() if "/" in name) == pytest.approx(parts["loss"])
    assert float(value) == pytest.approx(summarize(None, metrics)["loss"])
    assert set(state) == set(variables) - {"params"}
    assert outputs["boxes"].shape[:2] == outputs["scores"].shape
    if kind == "mask":
        assert outputs["masks"].dtype == jnp.uint8


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_batch():
    variables, _, measured = started("faster")
    rows = batch()
    totals, outputs = measured(variables, rows)
    rows_of = (jnp.array([0, 1, 0, 1]), jnp.array([2, 3, 2, 3]))
    halves = [{name: array[chosen] for name, array in rows.items()} for chosen in rows_of]
    halves = [half | {"valid": jnp.array([1.0, 1, 0, 0])} for half in halves]
    parts = [measured(variables, half) for half in halves]
    for name, (total, count) in totals.items():
        assert float(total) == pytest.approx(sum(float(p[0][name][0]) for p in parts), rel=2e-4)
        if name != "examples":
            assert float(count) == 4
    for name in ("boxes", "scores", "true_boxes"):
        both = np.concatenate([np.asarray(part[1][name][:2]) for part in parts])
        np.testing.assert_allclose(outputs[name], both, rtol=1e-3, atol=1e-3)


@pytest.mark.slow  # nets compile for seconds
@pytest.mark.parametrize("kind", ["faster", "mask", "keypoint"])
def test_images_without_objects_are_learnt_from(kind):
    variables, loss, measured = started(kind)
    rows = batch(kind=kind)
    empty = rows | {"class": jnp.full_like(rows["class"], -1), "boxes": rows["boxes"] * 0}
    for each in (empty, jax.tree.map(lambda a, b: a.at[0].set(b[0]), rows, empty)):
        (value, _), slopes = loss(variables, each, jax.random.key(1))
        assert np.isfinite(float(value))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
        totals, _ = measured(variables, each)
        assert all(np.isfinite(float(total)) for total, _ in totals.values())


@pytest.mark.slow
def test_crowds_and_padding_of_images_change_nothing():
    variables, loss, measured = started("faster")
    rows = batch()
    last = {name: rows[name].at[:, -1].set(value) for name, value in (
        ("boxes", jnp.array([0.0, 0, 30, 40])), ("class", 1), ("crowd", True))}  # fmt: skip
    # Whatever stands in the padding, the net sees zeros there.
    noisy = rows["image"].at[:, :, 48:].set(200)
    for changed in (rows | last, rows | {"image": noisy}):
        others = [loss(variables, each, jax.random.key(1))[0][0] for each in (rows, changed)]
        if "crowd" not in changed or not changed["crowd"].any():
            assert float(others[0]) == float(others[1])
        scores = [measured(variables, each)[1]["scores"] for each in (rows, changed)]
        np.testing.assert_array_equal(*scores)
    free = rows | {"class": rows["class"].at[:, -1].set(-1)}
    crowded = free | {name: last[name] for name in last}
    values = [loss(variables, each, jax.random.key(1))[0][0] for each in (free, crowded)]
    assert float(values[0]) == float(values[1])


@pytest.mark.parametrize("probabilities", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_mirror_images_stay_in_the_corner_and_come_back(probabilities):
    rows = batch(kind="mask") | {"keypoints": batch(kind="keypoint")["keypoints"]}
    rows["image"] = rows["image"].astype(jnp.float32)
    warp = objects.mirror_images(jax.random.key(0), rows["size"], SIZE, probabilities)
    moved = carry(rows, warp, mirrored=(1, 0))
    across, down = (bool(one) for one in probabilities)
    part = np.asarray(rows["image"])[:, :, :48]
    turned = part[:, ::-1] if down else part
    turned = turned[:, :, ::-1] if across else turned
    np.testing.assert_allclose(np.asarray(moved["image"])[:, :, :48], turned, atol=1e-3)
    assert not np.asarray(moved["image"])[:, :, 48:].any()
    box, new = np.asarray(rows["boxes"][0, 0]), np.asarray(moved["boxes"][0, 0])
    x = [48 - box[2], 48 - box[0]] if across else [box[0], box[2]]
    y = [48 - box[3], 48 - box[1]] if down else [box[1], box[3]]
    np.testing.assert_allclose(new, [x[0], y[0], x[1], y[1]], atol=1e-4)
    again = carry(moved, warp, mirrored=(1, 0))
    for name in ("boxes", "masks", "frames", "keypoints", "class"):
        np.testing.assert_allclose(again[name], rows[name], atol=1e-3)


def test_what_is_mirrored_stays_in_the_part_that_the_image_fills():
    warp = objects.mirror_images(jax.random.key(0), jnp.array([[40.0, 30]]), (64, 64), (1.0, 1.0))
    np.testing.assert_array_equal(warp.matrix[0], [[-1, 0, 30], [0, -1, 40]])


def test_keypoints_are_told_in_the_original_too():
    place = np.array([[2.0, 0, 5], [0, 3, 7]])
    case = Case("a", {}, CLASSES, lambda: np.zeros((50, 60, 3), np.uint8), place)
    results = {
        "boxes": np.array([[1.0, 2, 8, 9]]), "scores": np.array([0.9]), "class": np.array([0]),
        "keypoints": np.array([[[1.0, 2, -3], [4, 5, 6]]]),
    }  # fmt: skip
    detections = detections_in(case, results, 0.5)
    np.testing.assert_array_equal(detections.keypoints[0], [[7, 13], [13, 22]])


def test_places_in_the_original_by_hand():
    place = jnp.array([[[2.0, 0, 5], [0, 3, 7]]])
    boxes = objects.in_original(jnp.array([[[1.0, 2, 3, 4], [0, 0, 0, 0]]]), place)
    np.testing.assert_array_equal(boxes[0], [[7, 13, 11, 19], [0, 0, 0, 0]])
    points = objects.in_original(jnp.array([[[[1.0, 2, 2], [0, 0, 0]]]]), place)
    np.testing.assert_array_equal(points[0, 0], [[7, 13, 2], [0, 0, 0]])


def test_the_score_of_an_image_is_its_f1():
    truth = objects.true_objects(
        {"boxes": jnp.array([[0.0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 0, 0]]),
         "class": jnp.array([0, 1, -1])}
    )  # fmt: skip
    boxes = jnp.array([[0.0, 0, 10, 9], [1, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]])

    def score(scores, classes):
        valid = jnp.ones(4, bool)
        seen = Detections(boxes, jnp.array(scores), jnp.array(classes), valid)
        return float(objects.f1(seen, truth, 0.5))

    # Two hits of one object count once; the class must be right; unsure ones do not count.
    assert score([0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1]) == pytest.approx(2 * 2 / (2 + 4))
    assert score([0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]) == pytest.approx(2 * 1 / (2 + 4))
    assert score([0.9, 0.1, 0.7, 0.1], [0, 0, 1, 1]) == 1
    nothing = truth._replace(classes=jnp.full(3, -1))
    none = Detections(boxes, jnp.zeros(4), jnp.full(4, -1), jnp.zeros(4, bool))
    assert float(objects.f1(none, nothing, 0.5)) == 1
    assert float(objects.f1(none, truth, 0.5)) == 0


def test_detections_in_crowds_are_neither_hits_nor_false():
    boxes = np.array([[0, 0, 10, 10], [20, 0, 60, 40], [0, 0, 0, 0]], np.float32)
    truth = {
        "boxes": boxes, "class": np.array([0, 0, -1], np.int32),
        "crowd": np.array([0, 1, 0], np.uint8), "area": np.array([100, 1600, 0], np.float32),
    }  # fmt: skip
    places = np.array([[0, 0, 10, 9], [22, 2, 30, 10], [40, 2, 50, 30], [14, 2, 24, 9]], np.float32)
    classes = np.zeros(4, np.int32)

    def told(classes):
        seen = Detections(jnp.asarray(places), jnp.full(4, 0.9), jnp.asarray(classes), classes >= 0)
        rows = jax.tree.map(jnp.asarray, truth)
        score = objects.f1(seen, objects.true_objects(rows), 0.5, objects.crowds(rows))
        results = {"boxes": places, "scores": np.full(4, 0.9), "class": classes}
        arrays = truth | {"image": np.zeros((48, 80, 3), np.uint8)}
        return float(score), task().show(results, Case("a", arrays, CLASSES)).caption

    # The last lies in the crowd by four tenths.
    assert told(classes) == (pytest.approx(2 * 1 / (1 + 2)), "1 object, 1 hit, 1 false")
    classes[3] = -1
    assert told(classes) == (1, "1 object, 1 hit, 0 false")
    classes[1] = 2  # a crowd is of one class
    assert told(classes) == (pytest.approx(2 * 1 / (1 + 2)), "1 object, 1 hit, 1 false")


def truth_as_detections(rows):
    """The answer of a perfect net."""
    real = rows["class"] >= 0
    return {
        "boxes": np.asarray(rows["boxes"]),
        "scores": np.where(real, 0.9, 0).astype(np.float32),
        "class": np.asarray(rows["class"]),
    }


def test_a_perfect_detector_has_an_average_precision_of_one():
    rows = batch(kind="mask")
    truth = jax.tree.map(np.asarray, objects.truth_in_original(rows))
    perfect = truth_as_detections(rows)
    perfect["boxes"] = np.asarray(objects.in_original(rows["boxes"], rows["place"]))
    collector = task().collector()
    collector.add(truth | perfect)
    scores = collector.result()
    assert scores["ap"] == pytest.approx(1)
    assert scores["ap50/circle"] == pytest.approx(1)
    # Half as large boxes are no hits.
    smaller = perfect | {"boxes": perfect["boxes"] * 0.5}
    collector = task().collector()
    collector.add(truth | smaller)
    assert collector.result()["ap"] < 0.2


def test_people_and_programs_are_told_places_in_the_original():
    fit = FitWithBoxes(SIZE, limit=4)
    example = ShapeObjects().open("test")[0]
    arrays = fit(example, np.random.default_rng(0))
    height, width = example["image"].shape[:2]
    case = Case("a.png", arrays, CLASSES, lambda: example["image"], fit.place(height, width))
    results = truth_as_detections({k: v[None] for k, v in arrays.items()})
    results = {name: rows[0] for name, rows in results.items()}
    detections = detections_in(case, results, 0.5)
    count = len(example["class"])
    order = np.argsort(-results["scores"][:count], kind="stable")
    np.testing.assert_allclose(detections.boxes, example["boxes"][order], atol=1e-3)
    prediction = task().present(results, case, draw=True)
    told = prediction.record["detections"]
    assert [one["class"] for one in told] == [CLASSES[n] for n in example["class"]]
    x1, y1, x2, y2 = example["boxes"][0]
    assert told[0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=1e-2)
    assert told[0]["image_id"] == "a.png"
    assert sum(int(row[1]) for row in prediction.rows) == count
    assert prediction.drawing is not None
    assert prediction.drawing.shape[-1] == 3
    assert prediction.joined["coco"] == [
        {k: v for k, v in one.items() if k != "class"} for one in told
    ]
    unsure = results | {"scores": results["scores"] * 0.1}
    assert task().present(unsure, case, draw=False).rows == [("nothing", "0", "")]
    shown = task().show(results, dataclasses.replace(case, original=None, place=None))
    objects_told = "1 object" if count == 1 else f"{count} objects"
    assert shown.caption == f"{objects_told}, {count} hit, 0 false"


def test_masks_reach_the_file_of_results():
    fit = FitWithBoxes(None, limit=4, cells=28)
    example = ShapeObjects().open("test")[1]
    arrays = fit(example, np.random.default_rng(0))
    results = {
        "boxes": arrays["frames"], "masks": arrays["masks"], "class": arrays["class"],
        "scores": np.where(arrays["class"] >= 0, 0.9, 0).astype(np.float32),
    }  # fmt: skip
    case = Case("b.png", arrays, CLASSES, lambda: example["image"])
    entries = task("mask").present(results, case, draw=True).joined["coco"]
    for entry, lengths in zip(entries, example["runs"], strict=True):
        height, width = entry["segmentation"]["size"]
        mask = runs.decode(runs.from_string(entry["segmentation"]["counts"]), height, width)
        true = runs.decode(lengths, height, width)
        overlap = (mask & true).sum() / (mask | true).sum()
        assert overlap > 0.75  # at 28 cells a side, of shapes of some 20 pixels


def test_examples_are_drawn_by_their_number_in_training():
    """The key of the net's draws is the step's, and the rows' numbers go with it."""
    told = {}

    class Spy:
        def apply(self, variables, images, **arguments):
            told.update(arguments)
            raise StopIteration

    one = dataclasses.replace(task(), model=Spy())
    rows = batch(2) | {"index": jnp.asarray([7, 4])}
    for rng in (1, 1, 2):
        with pytest.raises(StopIteration):
            one.loss({"params": {}}, rows, jax.random.key(rng))
        keys = told.setdefault("keys", [])
        keys.append(jax.random.key_data(told["key"]).tolist())
        assert told["index"].tolist() == [7, 4]
    assert keys[0] == keys[1] != keys[2]
