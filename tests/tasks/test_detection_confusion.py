"""Detections paired with objects, and classes taken for each other, by hand."""

import numpy as np
import pytest

from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.detection_confusion import Confusion, confusion_matrix, confusions, matches
from tests.tasks.detection_cases import random_outputs
from tests.tasks.test_detection_collector import outputs
from tests.tasks.test_froc import detections, objects

ONE, NEXT, FAR = [0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]


def test_the_surest_detection_takes_the_best_object():
    true = objects([ONE, NEXT])
    seen = detections([ONE, ONE, FAR, ONE], [0.7, 0.9, 0.8, 0.6])
    # 0.9 takes the first, 0.7 what is left, and 0.6 nothing.
    assert matches(true, seen).tolist() == [0, -1, 1, -1]
    assert matches(true, seen, 0.7).tolist() == [0, -1, -1, -1]


def test_classes_matter_unless_they_may_differ():
    true, seen = objects([ONE, NEXT], [1, 0]), detections([ONE], [0.9], [0])
    assert matches(true, seen).tolist() == [1]
    assert matches(true, seen, any_class=True).tolist() == [0]


def test_a_crowd_stays_free_and_is_the_last_choice():
    true = objects([[0, 0, 40, 40], ONE], crowd=[True, False])
    seen = detections([ONE, ONE, ONE], [0.9, 0.8, 0.7])
    assert matches(true, seen).tolist() == [1, 0, 0]


def test_counts_by_hand():
    true = objects(
        [ONE, FAR, [80, 80, 99, 99], [0, 60, 30, 90]], [0, 1, 1, 0], [False, False, False, True]
    )
    seen = detections(
        [ONE, FAR, [30, 30, 40, 40], [5, 65, 9, 70], [80, 80, 99, 99]],
        [0.9, 0.8, 0.7, 0.6, 0.4],
        [0, 0, 1, 1, 1],
    )
    matrix = confusion_matrix(confusions(true, seen, Confusion()), 2)
    assert matrix.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    matrix = confusion_matrix(confusions(true, seen, Confusion(score=0.3)), 2)
    assert matrix.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    matrix = confusion_matrix(confusions(true, seen, Confusion(score=2)), 2)
    assert matrix.tolist() == [[0, 0, 1], [0, 0, 2], [0, 0, 0]]


def test_no_objects_and_no_detections():
    none = objects([]), detections([], [])
    assert matches(*none).shape == (0,)
    assert not confusions(*none, Confusion())
    assert DetectionCollector(DetectionScores(), ("a", "b")).confusion().tolist() == [[0] * 3] * 3
    assert DetectionCollector(DetectionScores()).confusion().shape == (1, 1)


@pytest.mark.parametrize("seed", range(5))
def test_every_object_and_detection_is_counted_once(seed):
    arrays = random_outputs(np.random.default_rng(seed), images=20)
    arrays["crowd"][:] = False
    collector = DetectionCollector(DetectionScores(confusion=Confusion(score=0.4)))
    collector.add(arrays)
    matrix = collector.confusion()
    for number in range(len(matrix) - 1):
        assert matrix[number].sum() == (arrays["true_class"] == number).sum()
        counted = (arrays["class"] == number) & (arrays["scores"] >= 0.4)
        assert matrix[:, number].sum() == counted.sum()
    assert matrix[-1, -1] == 0


def test_precision_by_class():
    collector = DetectionCollector(DetectionScores(), ("cell",))
    collector.add(outputs([(0, ONE), (0, FAR)], [(0, 0.9, ONE), (0, 0.8, [80, 80, 90, 90])]))
    (name, precision), *others = collector.precision().items()
    assert name == "cell"
    assert not others
    np.testing.assert_allclose(precision, [1.0] * 51 + [0.0] * 50)
    assert precision.mean() == pytest.approx(collector.result()["ap50/cell"])
