"""Average precision of boxes and keypoints: pycocotools' on random cases, and small ones by hand."""

import numpy as np
import pytest

from jresnet.tasks.average_precision import MANY_KEYPOINTS, RECALLS
from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.overlaps import COCO_SIGMAS
from tests.tasks.detection_cases import coco_scores, coco_sets, random_outputs

CLASSES = ("cell", "platelet")


def collected(outputs, scores=DetectionScores(), classes=(), parts=1):  # noqa: B008
    collector = DetectionCollector(scores, classes)
    for rows in np.array_split(np.arange(len(outputs["boxes"])), parts):
        collector.add({name: array[rows] for name, array in outputs.items()})
    return collector


def outputs(true=(), detected=(), **more):
    """One image of (class, box) and (class, score, box), each with a row of padding."""
    true, detected = [*true, (-1, [0, 0, 0, 0])], [(-1, 9, [0, 0, 9, 9]), *detected]
    boxes = np.array([box for _, box in true], np.float32)
    arrays = {
        "true_boxes": boxes,
        "true_class": np.array([number for number, _ in true], np.int32),
        "crowd": np.zeros(len(true), bool),
        "area": (boxes[:, 2:] - boxes[:, :2]).prod(1),
        "original": np.array([100, 100], np.int32),
        "boxes": np.array([box for *_, box in detected], np.float32),
        "scores": np.array([score for _, score, _ in detected], np.float32),
        "class": np.array([number for number, *_ in detected], np.int32),
    }
    return {name: array[None] for name, array in (arrays | more).items()}


@pytest.mark.parametrize(
    ("keypoints", "seeds"), [(0, range(50)), (0, range(50, 100)), (17, range(50))]
)
def test_random_cases_are_those_of_pycocotools(keypoints, seeds):
    pytest.importorskip("pycocotools", reason="pycocotools, of the test extra, is the oracle")
    kind, prefix = ("keypoints", "keypoint/") if keypoints else ("bbox", "")
    told = set()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        arrays = random_outputs(rng, images=int(rng.integers(1, 8)), keypoints=keypoints)
        wanted, evaluation = coco_scores(coco_sets(arrays), kind)
        collector = collected(arrays, DetectionScores(sigmas=COCO_SIGMAS), parts=2)
        scores = collector.result()
        for name, value in wanted.items():
            if name not in ("ar50", "ar75"):
                assert scores[prefix + name] == pytest.approx(value, abs=1e-6), (seed, name)
        told |= wanted.keys()
        curves, limits = collector.kinds[prefix].curves(), -1
        for name, ours, axis in (
            ("precision", curves.precision, 2),
            ("scores", curves.scores, 2),
            ("recall", curves.recall, 1),
        ):
            theirs = evaluation.eval[name]
            theirs = theirs if name == "recall" else theirs[..., limits]
            others = np.setdiff1d(np.arange(theirs.shape[axis]), curves.classes)
            assert (np.take(theirs, others, axis) == -1).all()  # left out here
            theirs = np.take(theirs, curves.classes, axis)
            np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), theirs, atol=1e-9)
    assert len(told) >= 10  # every range of areas occurs


def test_by_hand():
    """A hit, a second detection of the same object, a miss; recall 1/2 at precision 1, then 2/3."""
    two = [(0, [0, 0, 10, 10]), (0, [50, 50, 60, 60])]
    detections = [(0, 0.9, [0, 0, 10, 10]), (0, 0.8, [1, 0, 10, 10]), (0, 0.7, [50, 50, 60, 66])]
    scores = collected(outputs(two, detections), classes=CLASSES).result()
    low = np.count_nonzero(RECALLS <= 0.5)
    assert scores["ap50"] == pytest.approx((low + (101 - low) * 2 / 3) / 101)
    # The third box overlaps by 100 / 160: a hit at 0.5, 0.55 and 0.6.
    assert scores["ap"] == pytest.approx((3 * scores["ap50"] + 7 * low / 101) / 10)
    assert scores["ap75"] == pytest.approx(low / 101)
    assert scores["ar/1"] == 0.5
    assert scores["ar/100"] == pytest.approx((3 * 1 + 7 * 0.5) / 10)
    assert scores["ap/small"] == scores["ap"]
    assert "ap/large" not in scores
    assert scores["ap50/cell"] == scores["ap50"]
    assert not [name for name in scores if "platelet" in name]


def test_an_overlap_of_the_threshold_is_enough():
    detections = [(0, 0.9, [0, 0, 10, 5])]
    scores = collected(outputs([(0, [0, 0, 10, 10])], detections)).result()
    assert scores["ap50"] == 1
    assert scores["ap75"] == 0


def test_a_class_without_truth_is_left_out_of_the_means():
    one = [(0, [0, 0, 10, 10])]
    detections = [(0, 0.9, [0, 0, 10, 10]), (1, 0.95, [0, 0, 10, 10])]
    scores = collected(outputs(one, detections), classes=CLASSES).result()
    assert scores["ap"] == 1
    assert scores["class_ap/cell"] == 1
    assert "class_ap/platelet" not in scores


def test_what_lies_in_a_crowd_is_no_mistake():
    crowd = np.array([[False, True, False]])
    true = [(0, [0, 0, 10, 10]), (0, [20, 20, 90, 90])]
    inside = [(0, 0.9 - 0.1 * n, [30 + n, 30, 40 + n, 40]) for n in range(3)]
    detections = [*inside, (0, 0.2, [0, 0, 10, 10])]
    arrays = outputs(true, detections)
    assert collected(arrays).result()["ap"] < 0.3
    assert collected(arrays | {"crowd": crowd}).result()["ap"] == 1


@pytest.mark.parametrize("detections", [[], [(0, 0.5, [0, 0, 9, 9])]])
def test_images_without_objects(detections):
    scores = collected(outputs([], detections)).result()
    assert set(scores) == {"ap", "ap50", "ap75", "ar/1", "ar/10", "ar/100"}
    assert np.isnan(list(scores.values())).all()
    assert np.isnan(DetectionCollector(DetectionScores()).result()["ap"])


def test_objects_that_are_not_seen_at_all():
    scores = collected(outputs([(0, [0, 0, 10, 10])])).result()
    assert scores["ap"] == scores["ar/100"] == scores["ap50/0"] == 0


def test_boxes_and_scores_that_are_no_numbers_hit_nothing():
    inf, nan = np.inf, np.nan
    bad = [(0, 0.9, [nan] * 4), (0, 0.8, [-inf, -inf, inf, inf]), (0, nan, [9, 9, 0, 0])]
    scores = collected(outputs([(0, [0, 0, 10, 10])], [*bad, (0, 0.5, [0, 0, 10, 10])])).result()
    assert scores["ar/100"] == 1
    assert scores["ap50"] == pytest.approx(1 / 3)


def test_boxes_from_the_hundred_and_first_on_do_not_count():
    wrong = [(0, 0.9, [50, 50, 60, 60])] * 100
    last = (0, 0.1, [0, 0, 10, 10])
    true = [(0, [0, 0, 10, 10])]
    assert collected(outputs(true, [*wrong, last])).result()["ar/100"] == 0
    assert collected(outputs(true, [*wrong[1:], last])).result()["ar/100"] == 1


def points(*places):
    return np.array([[[x, y, v] for x, y, v in row] for row in places], np.float32)


def test_keypoints_by_hand():
    true = [(0, [0, 0, 40, 40])]
    both = [[(10, 10, 2), (30, 30, 0)], [(0, 0, 0), (0, 0, 0)]]
    arrays = outputs(
        true,
        [(0, 0.9, [0, 0, 40, 40])],
        true_keypoints=points(*both),
        keypoints=points([(0, 0, 0)] * 2, [(14, 13, 1), (0, 0, 1)])[..., :2],
    )
    # The visible one is 5 pixels away: exp(-25 / (2 (2 sigma)^2 1600)) = 0.4578 with 0.05.
    result = collected(arrays).result()
    assert result["keypoint/ap50"] == 0
    result = collected(arrays, DetectionScores(sigmas=(0.053, 0.01))).result()
    assert np.exp(-25 / (2 * 0.106**2 * 1600)) == pytest.approx(0.4989, abs=1e-4)
    assert result["keypoint/ap50"] == 0
    result = collected(arrays, DetectionScores(sigmas=0.054)).result()
    assert result["keypoint/ap50"] == 1
    with pytest.raises(ValueError, match="expected 2 numbers"):
        collected(arrays, DetectionScores(sigmas=COCO_SIGMAS))


def test_objects_without_visible_keypoints_are_ignored():
    arrays = outputs(
        [(0, [0, 0, 40, 40])],
        [(0, 0.9, [0, 0, 40, 40])],
        true_keypoints=points([(0, 0, 0)], [(0, 0, 0)]),
        keypoints=points([(0, 0, 0)], [(14, 13, 1)]),
    )
    result = collected(arrays).result()
    assert result["ap"] == 1
    assert np.isnan(result["keypoint/ap"])


def test_outputs_that_are_missing_are_named():
    arrays = outputs()
    del arrays["area"], arrays["scores"]
    with pytest.raises(ValueError, match="expected area, scores too"):
        collected(arrays | {"scores_": np.zeros(1)})


def test_more_than_twenty_objects_of_an_image_need_rules_for_many():
    """25 objects in one image, all detected: COCO's persons have a recall of 20 / 25 at most."""
    boxes = [[20.0 * n, 0, 20.0 * n + 10, 10] for n in range(25)]
    points = np.zeros((25, 2, 3), np.float32)
    points[..., 0], points[..., 2] = np.array(boxes)[:, [0, 2]], 2
    padding = np.zeros((1, 2, 3), np.float32)
    arrays = outputs(
        [(0, box) for box in boxes], [(0, 1 - 0.01 * n, box) for n, box in enumerate(boxes)]
    )
    arrays["true_keypoints"] = np.concatenate([points, padding])[None]
    arrays["keypoints"] = np.concatenate([padding, points])[None, ..., :2]
    few = collected(arrays, DetectionScores()).result()
    assert few["keypoint/ap50"] == pytest.approx(np.count_nonzero(RECALLS <= 0.8) / 101)
    many = collected(arrays, DetectionScores(keypoints=MANY_KEYPOINTS)).result()
    assert many["keypoint/ap50"] == many["keypoint/ar/100"] == 1
    assert many["keypoint/ar/20"] == few["keypoint/ar/20"] == pytest.approx(0.8)
