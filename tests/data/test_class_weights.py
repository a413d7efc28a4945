"""Counts of classes in label maps, and weights by median frequency, by hand."""

import numpy as np
import pytest

from jresnet.data.augment.geometry import IGNORED
from jresnet.data.class_weights import median_frequency, pixel_counts
from jresnet.data.sources.label_maps import LabelMaps
from jresnet.data.sources.shapes import Shapes
from tests.data.map_folders import halves, label_map, plain


def test_counts_by_hand(tmp_path):
    plain(tmp_path, names=("a", "b", "c", "d"))
    labels = halves()
    labels[0] = IGNORED
    labels[1] = 2
    label_map(tmp_path / "train" / "labels" / "b.png", labels)
    (tmp_path / "train" / "labels" / "c.png").write_bytes(b"broken")
    (tmp_path / "train" / "images" / "d.jpg").write_bytes(b"its map is read all the same")
    source = LabelMaps(tmp_path, ("left", "right", "line")).open("train", encoded=True)
    counts = pixel_counts(source, 3)
    assert counts.tolist() == [[40, 40, 0], [30, 30, 10], [0, 0, 0], [40, 40, 0]]


def test_weights_by_hand():
    # Class 2 occurs in one image of 100 pixels, of which it has 10; class 3 in none.
    counts = np.array([[60, 40, 0, 0], [60, 30, 10, 0]])
    frequencies = np.array([120 / 200, 70 / 200, 10 / 100])
    expected = [*(0.35 / frequencies).tolist(), 0.0]
    assert median_frequency(counts) == pytest.approx(expected, rel=1e-3)
    roots = [*(0.35 / frequencies).tolist()]
    assert median_frequency(counts, 0.5)[:3] == pytest.approx(np.sqrt(roots), rel=1e-3)
    assert median_frequency(np.zeros((2, 3), int)) == (0.0, 0.0, 0.0)


def test_sources_without_files_are_counted_too():
    maps = Shapes(train_size=6, side=16)
    counts = pixel_counts(maps.open("train"), 4)
    assert counts.sum(1).tolist() == [256] * 6
    background, *shapes = median_frequency(counts)
    assert background < min(shapes)
