"""Names of metrics on pages: those of detectors in per cent, unknown ones as they are."""

import numpy as np
import pytest

from jresnet.report.metrics import displayed
from jresnet.tasks.detection_collector import DetectionCollector, DetectionScores
from jresnet.tasks.froc import Froc
from tests.tasks.detection_cases import random_outputs


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("ap", "AP (%)"),
        ("ap/small", "AP small (%)"),
        ("ap50/red cell", "AP50 red cell (%)"),
        ("class_ap/a/b", "AP a/b (%)"),
        ("mask/ap75", "mask AP75 (%)"),
        ("keypoint/ar/20", "keypoint AR with 20 detections (%)"),
        ("ar/1", "AR with 1 detection (%)"),
        ("froc/0.125", "sensitivity at 0.125 false positives an image (%)"),
        ("froc", "FROC: mean sensitivity (%)"),
    ],
)
def test_detectors_in_per_cent(name, label):
    assert displayed(name, 0.25) == (label, 25)


@pytest.mark.parametrize("name", ["loss", "error", "iou/ap", "apex", "mask", "mask/loss", "froc_"])
def test_others_as_they_are(name):
    assert displayed(name, 0.25) == (name, 0.25)


def test_every_score_of_a_detector_is_in_the_table_under_a_name_of_its_own():
    collector = DetectionCollector(DetectionScores(froc=Froc(resamples=2)), ("cell", "platelet"))
    collector.add(random_outputs(np.random.default_rng(0), images=20, keypoints=17))
    names = list(collector.result())
    labels = [displayed(name, 0.0)[0] for name in names]
    assert all(label.endswith("(%)") for label in labels)
    assert len(set(labels)) == len(names)
