"""Medians and ranges over seeds."""

import numpy as np
import pytest

from jresnet.studies.sensitivity.figures import median_bands


def test_lines_go_through_medians_and_bands_reach_the_extremes():
    lines = {"a": {1.0: [3.0, 1.0, 8.0], 10.0: [2.0, 2.0, 2.0]}, "b": {1.0: [4.0]}}
    figure = median_bands(
        [("left", "rate", lines), ("right", "layers", lines)], ["y"], (True, False)
    )
    left, right = figure.axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    median = left.lines[2]  # after the dots of both x
    np.testing.assert_array_equal(median.get_xydata(), [(1, 3), (10, 2)])
    band = np.asarray(left.collections[0].get_paths()[0].vertices)
    assert {tuple(p) for p in band.tolist()} >= {(1.0, 1.0), (1.0, 8.0), (10.0, 2.0)}
    assert list(left.get_xticks()) == [1, 10]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    with pytest.raises(ValueError, match="2 rows of 2"):
        median_bands([("left", "x", lines)], ["y", "z"], (True, False))
