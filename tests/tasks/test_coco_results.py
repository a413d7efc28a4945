"""COCO's results: the fields by hand, and pycocotools scores them as the collector does."""

import contextlib
import io
import json

import numpy as np
import pytest

from jresnet.tasks.coco_results import coco_results
from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.detection_records import Detections, images_of
from jresnet.tasks.mask_parts import pasted
from jresnet.tasks.overlaps import COCO_SIGMAS
from tests.tasks.detection_cases import coco_scores, coco_sets, random_outputs


def test_fields_by_hand():
    mask = pasted(np.ones((28, 28)), np.array([1.0, 2, 4, 3]), 5, 6)
    detections = Detections(
        np.array([[1, 2, 4, 3], [np.nan] * 4], np.float32),
        np.array([0.25, 0.1], np.float32),
        np.array([1, 0]),
        [mask, mask],
        np.array([[[2.5, 2.75]], [[0, 0]]], np.float32),
    )
    (entry,) = coco_results("a.jpg", detections, (5, 6), [7, 9], lambda m: f"{m.shape}{m.sum()}")
    assert entry == {
        "image_id": "a.jpg",
        "category_id": 9,
        "bbox": [1, 2, 3, 1],
        "score": 0.25,
        "segmentation": {"size": [5, 6], "counts": f"(5, 6){mask.area}"},
        "keypoints": [2, 2.25, 1],
    }
    (entry,) = coco_results(3, detections, (5, 6))
    assert entry["category_id"] == 2
    assert "segmentation" not in entry
    json.dumps(entry, allow_nan=False)


def test_no_detections():
    nothing = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    assert coco_results(0, nothing, (5, 6)) == []


@pytest.mark.parametrize("kind", ["bbox", "keypoints"])
def test_scored_by_pycocotools_as_collected(kind):
    pytest.importorskip("pycocotools", reason="pycocotools, of the test extra, is the oracle")
    arrays = random_outputs(np.random.default_rng(3), images=6, keypoints=17)
    truth, _ = coco_sets(arrays)
    if kind == "keypoints":  # COCO's files have the index of the pixel
        for annotation in truth.dataset["annotations"]:
            annotation["keypoints"] = [
                value - 0.5 if place % 3 < 2 else value
                for place, value in enumerate(annotation["keypoints"])
            ]
    entries = [
        entry
        for number, (_, detections) in enumerate(images_of(arrays))
        for entry in coco_results(number, detections, (200, 240))
    ]
    for entry in entries if kind == "bbox" else ():
        del entry["keypoints"]
    for entry in entries if kind == "keypoints" else ():
        del entry["bbox"]  # pycocotools would take it for the only kind
    with contextlib.redirect_stdout(io.StringIO()):
        detected = truth.loadRes(json.loads(json.dumps(entries)))
    collector = DetectionCollector(DetectionScores(sigmas=COCO_SIGMAS))
    collector.add(arrays)
    scores = collector.result()
    prefix = "" if kind == "bbox" else "keypoint/"
    for name, value in coco_scores((truth, detected), kind)[0].items():
        if name not in ("ar50", "ar75"):
            assert scores[prefix + name] == pytest.approx(value, abs=1e-6), name
