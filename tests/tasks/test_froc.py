"""Sensitivity at false positives an image: MONAI's numbers, hits by hand, the interval."""

import numpy as np
import pytest

from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.detection_records import Detections, Objects
from jresnet.tasks.froc import RATES, Froc, Outcome, froc_curve, froc_scores, outcome
from tests.nets import read_arrays
from tests.tasks.test_detection_collector import outputs

CENTRES = Froc(overlap=None, resamples=0)


def objects(boxes, classes=None, crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    zeros = np.zeros(len(boxes), np.int32)
    classes = zeros if classes is None else np.array(classes)
    crowd = zeros > 0 if crowd is None else np.array(crowd)
    return Objects(boxes, classes, crowd, (boxes[:, 2:] - boxes[:, :2]).prod(1))


def detections(boxes, scores, classes=None):
    boxes, scores = np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32)
    classes = np.zeros(len(boxes), np.int32) if classes is None else np.array(classes)
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order], classes[order])


def monai_s_images(gold):
    """Its three images: labelled rectangles, and points as boxes of one pixel."""
    for number in range(3):
        mask = gold[f"froc/mask{number}"]
        boxes = []
        for label in range(1, mask.max() + 1):
            y, x = np.nonzero(mask == label)
            boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        y, x = gold[f"froc/coords{number}"].T
        points = np.stack([x, y, x + 1, y + 1], 1)
        yield boxes, detections(points, gold[f"froc/probs{number}"])


def test_hits_and_scores_are_those_of_monai(golden):
    gold = read_arrays(golden / "medical_metrics.npz")
    images = [outcome(objects(boxes), points, CENTRES) for boxes, points in monai_s_images(gold)]
    for number, image in enumerate(images):
        hits = gold[f"froc/tp_probs{number}"]
        np.testing.assert_allclose(np.sort(image.hits), np.sort(hits[hits > 0]))
        np.testing.assert_allclose(
            np.sort(image.false_positives), np.sort(gold[f"froc/fp_probs{number}"])
        )
        assert image.objects == gold[f"froc/num_targets{number}"].item()
    curve = froc_curve(images, CENTRES)
    np.testing.assert_allclose(curve.rates[::-1], gold["froc/fps_per_image"])
    np.testing.assert_allclose(curve.sensitivities[::-1], gold["froc/sensitivity"])
    np.testing.assert_allclose(curve.at, gold["froc/sensitivity_at_luna"])
    assert curve.score == pytest.approx(gold["froc/score_luna"].item())
    camelyon = froc_curve(images, Froc(None, RATES[1:], resamples=0))
    assert camelyon.score == pytest.approx(gold["froc/score"].item())


def test_a_region_to_be_ignored_is_monai_s_excluded_label(golden):
    gold = read_arrays(golden / "medical_metrics.npz")
    _, (boxes, points), _ = monai_s_images(gold)
    image = outcome(objects(boxes, crowd=[False, True, False]), points, CENTRES)
    hits = gold["froc_exclude/tp_probs"]
    np.testing.assert_allclose(np.sort(image.hits), np.sort(hits[hits > 0]))
    np.testing.assert_allclose(
        np.sort(image.false_positives), np.sort(gold["froc_exclude/fp_probs"])
    )
    assert image.objects == gold["froc_exclude/num_targets"].item()


def test_hits_by_overlap():
    true = objects([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1])
    seen = detections(
        [[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 4], [20, 0, 30, 10]], [0.6, 0.9, 0.8, 0.7]
    )
    image = outcome(true, seen, Froc())
    assert image.hits.tolist() == pytest.approx([0.9])  # the better one of two
    assert image.false_positives.tolist() == pytest.approx([0.8, 0.7])  # too small, wrong class
    assert image.objects == 2
    assert outcome(true, seen, Froc(0.4)).false_positives.tolist() == pytest.approx([0.7])
    assert outcome(true, seen, CENTRES).false_positives.tolist() == pytest.approx([0.7])


@pytest.mark.parametrize("rule", [Froc(resamples=5), CENTRES])
def test_nothing_at_all(rule):
    nothing = outcome(objects([]), detections([], []), rule)
    assert (len(nothing.hits), len(nothing.false_positives), nothing.objects) == (0, 0, 0)
    alarm = outcome(objects([]), detections([[0, 0, 1, 1]], [0.5]), rule)
    for images in ([], [nothing], [nothing, alarm]):
        scores = froc_scores(froc_curve(images, rule))
        assert len(scores) == 3 + len(RATES)
        assert np.isnan(list(scores.values())).all()
    missed = outcome(objects([[0, 0, 1, 1]]), detections([], []), rule)
    assert froc_curve([missed], rule).score == 0


def test_equal_scores_are_one_point():
    images = [Outcome(np.array([0.5, 0.5]), np.array([0.5]), 3)]
    curve = froc_curve(images, CENTRES)
    np.testing.assert_allclose(curve.rates, [0, 1])
    np.testing.assert_allclose(curve.sensitivities, [0, 2 / 3])


def test_the_interval_is_that_of_images_drawn_again():
    rng = np.random.default_rng(1)
    images = [
        Outcome(rng.random(hits), rng.random(rng.integers(0, 4)), hits + int(rng.integers(0, 2)))
        for hits in rng.integers(0, 3, 30).tolist()
    ]
    rule = Froc(resamples=400, seed=3)
    curve = froc_curve(images, rule)
    assert curve.score_low < curve.score < curve.score_high
    assert (curve.low <= curve.high).all()
    again = np.random.default_rng(3)
    slow = []
    for _ in range(rule.resamples):
        drawn = [images[i] for i in again.integers(0, 30, 30)]
        slow.append(froc_curve(drawn, CENTRES).score)
    low, high = np.quantile(slow, [0.025, 0.975])
    assert curve.score_low == pytest.approx(low)
    assert curve.score_high == pytest.approx(high)
    assert froc_curve(images, Froc(resamples=400, seed=4)).score_low != curve.score_low


def test_collected():
    arrays = outputs([(0, [0, 0, 10, 10])], [(0, 0.9, [0, 0, 10, 10]), (0, 0.8, [50, 50, 60, 60])])
    collector = DetectionCollector(DetectionScores(froc=Froc(resamples=10)))
    collector.add(arrays)
    scores = collector.result()
    assert scores["froc"] == scores["froc/0.125"] == scores["froc/8"] == scores["froc_low"] == 1
    with pytest.raises(ValueError, match="froc=None"):
        DetectionCollector(DetectionScores()).froc()
