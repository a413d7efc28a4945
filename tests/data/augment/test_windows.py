"""Boxes erased and boxes resized."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jresnet.data.augment.windows import RandomErasing, random_boxes
from jresnet.errors import UsageError

KEY = jax.random.key(0)


def test_boxes_have_the_areas_and_ratios_asked_for():
    boxes = random_boxes(KEY, 4000, (100, 140), (0.1, 0.4), (0.5, 2.0))
    assert bool(boxes.fitted.all())
    area = np.asarray(boxes.height * boxes.width) / 14_000
    assert 0.09 < area.min() < 0.13
    assert 0.35 < area.max() < 0.41
    ratio = np.log(np.asarray(boxes.width / boxes.height))
    assert np.abs(ratio).max() == pytest.approx(np.log(2), abs=0.05)
    assert abs(ratio.mean()) < 0.05
    for start, side, size in ((boxes.top, boxes.height, 100), (boxes.left, boxes.width, 140)):
        assert float(start.min()) == 0
        assert float((start + side).max()) == size  # both borders are reached, none is passed


def test_where_no_box_fits_it_is_the_largest_in_the_middle():
    boxes = random_boxes(KEY, 3, (10, 100), (0.9, 1.0), (0.5, 2.0))
    assert not boxes.fitted.any()
    assert [float(side[0]) for side in boxes[:4]] == [0, 40, 10, 20]


def test_a_share_of_the_images_loses_one_box():
    x = jnp.full((400, 20, 30, 3), 7.0)
    out = np.asarray(RandomErasing(0.25)(KEY, x))
    changed = (out != 7).any(-1)
    hit = changed.any((1, 2))
    assert hit.mean() == pytest.approx(0.25, abs=0.08)
    for box in changed[hit]:
        rows, columns = np.flatnonzero(box.any(1)), np.flatnonzero(box.any(0))
        assert (np.diff(rows) == 1).all()
        assert box[np.ix_(rows, columns)].all()
        assert 0.01 < box.mean() < 0.36
    noise = out[(out != 7)]
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1, abs=0.05)
    zero = np.asarray(RandomErasing(1.0, value="zero")(KEY, x))
    assert set(np.unique(zero)) == {0.0, 7.0}


def test_bad_values():
    with pytest.raises(UsageError, match=r"probability=1\.5: expected 0 to 1"):
        RandomErasing(1.5)
