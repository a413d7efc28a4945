"""Figures of surfaces show their values, and survive those that are not finite."""

import numpy as np
import pytest

from jresnet.studies.landscape import figures as landscapes
from jresnet.studies.landscape.figures import Grid

AXIS = np.linspace(-1, 1, 5)
BOWL = 0.1 + AXIS[:, None] ** 2 + 2 * AXIS**2
CLIFF = np.where(BOWL > 2, np.inf, BOWL)


def test_contours_share_a_scale_and_show_the_path():
    path = np.array([[-1.0, 1.0], [0.5, 0.5], [0.0, 0.0]])
    nets = {"residual": Grid(AXIS, AXIS, BOWL, path), "plain": Grid(AXIS, AXIS, 10 * CLIFF)}
    figure = landscapes.contours(nets)
    one, other, bar = figure.axes
    assert [ax.get_title("left") for ax in (one, other)] == ["residual", "plain"]
    np.testing.assert_array_equal(one.lines[0].get_xydata(), path)
    assert one.lines[1].get_xydata().tolist() == [[0, 0]]
    assert not other.lines
    assert bar.get_ylim() == pytest.approx((0.1, 10 * BOWL[BOWL <= 2].max()))
    assert len(landscapes.contours(nets, shared=False).axes) == 4


def test_the_surface_has_the_heights_logarithm():
    figure = landscapes.surfaces({"net": Grid(AXIS, AXIS, CLIFF)})
    low, high = figure.axes[0].get_zlim()
    assert (10**low, 10**high) == pytest.approx((0.1, BOWL[BOWL <= 2].max()))


def test_squares_are_written_where_they_are():
    values = np.array([[0.1, 0.2], [np.nan, 0.4]])
    figure = landscapes.heat({"net": Grid(AXIS[:2], AXIS[:2], values)}, "ratio")
    actual = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert actual[AXIS[0], AXIS[1]] == "0.20"
    assert actual[AXIS[1], AXIS[0]] == "–"


def test_a_line_s_loss_and_error():
    figure = landscapes.lines({"net": (AXIS, BOWL[0], 100 * AXIS**2)})
    left, right = figure.axes
    assert left.get_yscale() == "log"
    np.testing.assert_array_equal(left.lines[0].get_ydata(), BOWL[0])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), 100 * AXIS**2)
