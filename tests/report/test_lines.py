"""Panels of lines."""

import math

import numpy as np
import pytest

from jresnet.report.lines import Line, bars, line_panels


def test_lines_of_one_name_look_alike_and_a_log_axis_leaves_zero_out():
    panels = {
        "left": {"a": Line([1, 2, 3], [1, 0, 4]), "b": Line([1, 2], [2, 2], dashed=True)},
        "right": {"a": Line([1, 2], [3, math.nan])},
    }
    figure = line_panels(panels, "x", "y", log=True)
    left, right = figure.axes
    assert left.get_title(loc="left") == "left"
    assert left.lines[0].get_color() == right.lines[0].get_color() != left.lines[1].get_color()
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [1, np.nan, 4])
    assert left.get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]
    with pytest.raises(ValueError, match="at least one"):
        line_panels({}, "x", "y")


@pytest.mark.parametrize(("count", "shape"), [(3, (1, 3)), (4, (2, 2)), (5, (2, 3))])
def test_many_panels_stand_in_two_rows(count, shape):
    panels = {str(i): {"a": Line([1, 2], [1, 2])} for i in range(count)}
    axes = line_panels(panels, "x", "y").axes
    assert axes[0].get_subplotspec().get_gridspec().get_geometry() == shape
    assert [ax.axison for ax in axes] == [True] * count + [False] * (math.prod(shape) - count)
    assert [ax.get_ylabel() for ax in axes[: shape[1]]] == ["y"] + [""] * (shape[1] - 1)


def test_bars_stand_where_they_are_counted_from():
    (ax,) = bars({"a": [1.0, 2.0], "b": [3.0, 4.0]}, 5, "x", "y").axes
    middles = [patch.get_x() + patch.get_width() / 2 for patch in ax.patches]
    np.testing.assert_allclose(middles, [4.8, 5.8, 5.2, 6.2])
