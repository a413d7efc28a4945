"""A computation over points that is killed in the middle goes on there."""

import os
import signal

import numpy as np
import pytest

from jresnet.runtime.stop import at_once
from jresnet.studies.resumed import resumed
from jresnet.train.loop import Interrupted

POINTS = np.arange(20.0).reshape(10, 2)


class Killed(BaseException):
    """Raised by tests at the point where a process would die."""


def squares(calls, die_before=None):
    """Two points a part, each noted in `calls`."""

    def compute(points):
        for start in range(0, len(points), 2):
            part = points[start : start + 2]
            if die_before is not None and (part == die_before).any():
                raise Killed
            calls.extend(part[:, 0].tolist())
            yield part**2

    return compute


def test_a_killed_computation_goes_on_where_it_was(tmp_path):
    path, before, after = tmp_path / "kept.npz", [], []
    with pytest.raises(Killed):
        resumed(path, POINTS, squares(before, die_before=12.0), 1.0, "squares")
    assert before == [0, 2, 4, 6, 8, 10]
    actual = resumed(path, POINTS, squares(after), 1.0, "squares")
    np.testing.assert_array_equal(actual, POINTS**2)
    assert after == [12, 14, 16, 18]
    assert [file.name for file in tmp_path.iterdir()] == ["kept.npz"]
    # Finished, it is only read.
    again = resumed(path, POINTS, squares(None), 1.0, "squares")
    np.testing.assert_array_equal(again, actual)


def test_sigterm_loses_no_more_than_the_part_at_hand(tmp_path):
    path, before, after = tmp_path / "kept.npz", [], []

    def compute(points):
        for part in squares(before)(points):
            if len(before) == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            yield part

    with pytest.raises(Interrupted), at_once(Interrupted("stopped")):
        resumed(path, POINTS, compute, 1.0, "squares")
    actual = resumed(path, POINTS, squares(after), 1.0, "squares")
    np.testing.assert_array_equal(actual, POINTS**2)
    assert after == [8, 10, 12, 14, 16, 18]


@pytest.mark.parametrize("change", ["points", "net"])
def test_another_net_or_other_points_start_anew(tmp_path, change, caplog):
    path, calls = tmp_path / "kept.npz", []
    net = {"kernel": np.ones(3)}
    resumed(path, POINTS, squares([]), net, "squares")
    points = POINTS + 1 if change == "points" else POINTS
    net = {"kernel": np.ones(3) * 2} if change == "net" else net
    actual = resumed(path, points, squares(calls), net, "squares")
    np.testing.assert_array_equal(actual, points**2)
    assert len(calls) == 10
    assert "is done again" in caplog.text
