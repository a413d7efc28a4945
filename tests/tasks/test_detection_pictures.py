"""Detections drawn over the original: which are drawn, which hit, and crowds left out."""

import numpy as np
import pytest

from jresnet.report import boxes as drawing
from jresnet.tasks import detection_pictures
from jresnet.tasks.detection_pictures import detections_drawn, shapes_of, truth_compared
from jresnet.tasks.detection_records import Detections, images_of
from jresnet.tasks.mask_parts import pasted
from tests.tasks.detection_cases import random_outputs
from tests.tasks.test_froc import detections, objects

PICTURE = np.full((700, 1000, 3), 128, np.uint8)
ONE, TWO, CROWD = [100, 100, 300, 200], [600, 100, 800, 200], [100, 400, 900, 690]


def test_only_sure_detections_are_drawn():
    seen = detections([ONE, TWO], [0.9, 0.4])
    changed = (detections_drawn(PICTURE, seen, ["cell"]) != 128).any(-1)
    assert changed[:300, :500].any()
    assert not changed[:, 500:].any()
    assert (detections_drawn(PICTURE, seen, ["cell"], score=0.3)[:, 500:] != 128).any()


def test_objects_are_hit_missed_or_in_a_crowd(monkeypatch):
    calls = []
    monkeypatch.setattr(detection_pictures, "compared", lambda *arguments: calls.append(arguments))
    true = objects([CROWD, ONE, TWO, [0, 0, 50, 50]], crowd=[True, False, False, False])
    seen = detections([[150, 450, 200, 500], TWO, [400, 0, 500, 90], ONE], [0.9, 0.8, 0.7, 0.2])
    truth_compared(PICTURE, true, seen, ["cell"])
    (_, truth, shapes, partners, names, _) = calls.pop()
    assert truth.boxes.tolist() == [ONE, TWO, [0, 0, 50, 50]]
    assert shapes.boxes.tolist() == [TWO, [400, 0, 500, 90]]
    assert partners.tolist() == [1, -1]
    assert names == ["cell"]


def test_no_objects_and_no_detections():
    nothing = detections([], [])
    np.testing.assert_array_equal(detections_drawn(PICTURE, nothing), PICTURE)
    result = truth_compared(PICTURE, objects([]), nothing)
    np.testing.assert_array_equal(result[:700], PICTURE)


def test_masks_are_drawn_each_in_its_colour(monkeypatch):
    calls = []
    monkeypatch.setattr(detection_pictures, "drawn", lambda *arguments: calls.append(arguments))
    mask = pasted(np.ones((28, 28)), np.array(ONE, float), 700, 1000)
    seen = Detections(np.array([ONE], float), np.ones(1), np.zeros(1, int), [mask])
    detections_drawn(PICTURE, seen, ["cell"])
    _, shapes, _, _, each = calls.pop()
    assert each
    assert shapes.masks[0].shape == (700, 1000)
    assert shapes.masks[0].sum() == mask.area
    detections_drawn(PICTURE, seen, ["cell", "other"])
    assert not calls.pop()[-1]


@pytest.mark.parametrize("seed", range(3))
def test_random_outputs(seed):
    arrays = random_outputs(np.random.default_rng(seed), keypoints=4)
    for true, seen in images_of(arrays):
        picture = np.zeros((200, 240, 1), np.uint8)
        result = truth_compared(picture, true, seen, ["a", "b"], edges=[(0, 1)])
        assert result.shape == (800 + 26, 960, 3)
        assert isinstance(shapes_of(true, (200, 240)), drawing.Shapes)
